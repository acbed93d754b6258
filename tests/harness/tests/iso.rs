//! What `boot/make-iso` makes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{env, fs, process, thread};

#[test]
fn the_same_files_make_the_same_iso() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let directory = env::temp_dir().join(format!("same-iso-{}", process::id()));
    let make = |copy: &str| {
        // Other files of the same content, of another time.
        let own = directory.join(copy);
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("image"), "an image\n").unwrap();
        fs::write(own.join("module"), "a module\n").unwrap();
        let module = format!("{} its line", own.join("module").display());
        let mut command = Command::new(top.join("boot/make-iso"));
        command.args([own.join("iso"), own.join("image")]);
        let output = command.args(["an option", &module]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        fs::read(own.join("iso")).unwrap()
    };
    let first = make("first");
    // Times are kept in whole seconds, or in two of them.
    thread::sleep(Duration::from_secs(3));
    let second = make("second");
    fs::remove_dir_all(&directory).unwrap();
    assert!(first.len() > 1 << 20 && first == second);
}
