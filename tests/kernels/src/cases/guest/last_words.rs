//! Says something on its console, and dies at once.

use crate::shared_ring::print_on_console;

pub(crate) fn run() {
    print_on_console("there is no root");
    print_on_console("nothing can be done");
    panic!("the guest dies, as it is to");
}
