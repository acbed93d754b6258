//! The first domain's own network, which a script makes ready for guests: the setting `network-script`.

use super::scripts::{Call, Script};
use crate::xend::Xend;

impl Xend {
    /// Makes it ready, before any guest is served. Whoever wants a network that is not there is told so then.
    pub fn start_network(&self) {
        self.run_network_script("start");
    }

    /// Undoes that, unless guests use it, which go on without the daemon.
    pub fn stop_network(&self) {
        let has_guests = self.table.all().iter().any(|record| record.domid.is_some());
        if has_guests {
            log::info!("there are guests, so the network stays as it is");
        } else {
            self.run_network_script("stop");
        }
    }

    fn run_network_script(&self, action: &str) {
        let settings = self.settings();
        if settings.network_script().is_empty() {
            return;
        }
        let script = Script::with_words(settings.network_script());
        let mut words = vec![action.to_owned()];
        words.extend(script.words);
        let call = Call {
            program: script.program,
            words,
            variables: Vec::new(),
        };
        let ran = self
            .devices
            .first
            .run(&call, settings.device_create_timeout());
        let program = call.program.display();
        match ran {
            Ok(()) => log::info!("{program} {action}: done"),
            Err(failure) => log::error!("network-script: {program} {action} {failure}"),
        }
    }
}
