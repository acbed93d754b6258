//! Something that every processor is to do, and to which each comes by an interrupt: who asks waits until it was done after
//! it asked.
//!
//! The processor may be doing it when it is asked again, even in an interrupt in the middle of doing it: what counts is what had
//! been asked before it began.

#![forbid(unsafe_code)]

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::const_unless_modelled;

/// What one processor is asked to do, and has done.
#[derive(Debug)]
pub struct Errand {
    /// Times that somebody has asked.
    asked: AtomicU64,
    /// Of those, the ones that are served. Written by the processor itself.
    done: AtomicU64,
}

/// One request.
#[must_use = "it is looked at to know when it is done"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request(u64);

impl Errand {
    const_unless_modelled! {
        /// Nobody has asked.
        #[expect(clippy::new_without_default, reason = "one for each processor, made by name")]
        pub fn new() -> Self {
            Self {
                asked: AtomicU64::new(0),
                done: AtomicU64::new(0),
            }
        }
    }

    /// Asks the processor, which has to be interrupted then.
    pub fn ask(&self) {
        // A count of 2^64 is never reached.
        self.asked.fetch_add(1, Ordering::SeqCst);
    }

    /// The latest request of anybody: it is done when all are that were made before.
    pub fn latest(&self) -> Request {
        Request(self.asked.load(Ordering::SeqCst))
    }

    /// Whether it was done since it was asked for.
    pub fn is_done(&self, request: Request) -> bool {
        self.done.load(Ordering::Acquire) >= request.0
    }

    /// On the processor itself: does it, if somebody waits for it.
    pub fn serve(&self, work: impl FnOnce()) {
        let asked = self.asked.load(Ordering::SeqCst);
        if asked != self.done.load(Ordering::Relaxed) {
            work();
            self.done.fetch_max(asked, Ordering::Release);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Errand, Request};
    use std::cell::Cell;

    fn asked(errand: &Errand) -> Request {
        errand.ask();
        errand.latest()
    }

    #[test]
    fn it_is_done_once_for_all_who_have_asked() {
        let (errand, times) = (Errand::new(), Cell::new(0));
        let work = || times.set(times.get() + 1);
        errand.serve(work);
        assert_eq!(times.get(), 0, "nobody has asked");
        let requests = [asked(&errand), asked(&errand)];
        assert!(requests.iter().all(|&request| !errand.is_done(request)));
        errand.serve(work);
        assert!(requests.iter().all(|&request| errand.is_done(request)));
        errand.serve(work);
        assert_eq!(times.get(), 1);
    }

    #[test]
    fn what_is_asked_meanwhile_is_done_anew() {
        let errand = Errand::new();
        let first = asked(&errand);
        let (mut second, mut third) = (None, None);
        errand.serve(|| {
            second = Some(asked(&errand));
            // An interrupt in the middle.
            errand.serve(|| third = Some(asked(&errand)));
        });
        assert!(errand.is_done(first) && errand.is_done(second.unwrap()));
        assert!(!errand.is_done(third.unwrap()));
        errand.serve(|| {});
        assert!(errand.is_done(third.unwrap()));
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::Errand;
    use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use loom::sync::Arc;
    use loom::thread;

    /// Two ask, each for what it has written before; the processor that does it sees that, before they hear that it is
    /// done.
    #[test]
    fn who_asks_hears_only_of_what_was_done_afterwards() {
        loom::model(|| {
            struct World {
                errand: Errand,
                written: [AtomicU32; 2],
                seen: [AtomicU32; 2],
            }
            let world = Arc::new(World {
                errand: Errand::new(),
                written: [AtomicU32::new(0), AtomicU32::new(0)],
                seen: [AtomicU32::new(0), AtomicU32::new(0)],
            });
            let askers: std::vec::Vec<_> = (0..2)
                .map(|me| {
                    let world = world.clone();
                    thread::spawn(move || {
                        world.written[me].store(1, Relaxed);
                        world.errand.ask();
                        let request = world.errand.latest();
                        if world.errand.is_done(request) {
                            assert_eq!(world.seen[me].load(Relaxed), 1);
                        }
                        request
                    })
                })
                .collect();
            let serve = || {
                world.errand.serve(|| {
                    for (written, seen) in world.written.iter().zip(&world.seen) {
                        seen.fetch_max(written.load(Relaxed), Relaxed);
                    }
                });
            };
            serve();
            let requests: std::vec::Vec<_> =
                askers.into_iter().map(|one| one.join().unwrap()).collect();
            // The interrupt of the last one.
            serve();
            assert!(
                requests
                    .iter()
                    .all(|&request| world.errand.is_done(request))
            );
        });
    }
}
