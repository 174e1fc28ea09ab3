//! More hosts than handles.

use evonic_parts::Sshd;
use evonic_tests::{pair::Options, testbed::Testbed};

use super::{add, check};

#[test]
fn a_check_takes_the_handle_of_a_host_that_nobody_uses() {
    let server = Sshd::start();
    // Eight in all; each account is a host of its own, and keeps its connections for an hour.
    let options = Options::config("[budget]\nssh = 8\n[ssh]\nidle_timeout = \"1h\"\n");
    let testbed = Testbed::local(&options);
    let accounts: Vec<_> =
        (0..9).map(|number| server.account("/bin/sh", &format!("home{number}"))).collect();
    for (number, account) in accounts.iter().enumerate() {
        add(&testbed, &format!("host{number}"), &server, account);
    }
    for number in 0..8 {
        let ran = testbed.run(&format!("host{number}"), "write a.txt \"x\"");
        assert!(ran.is_completed(), "{number}: {ran:#?}");
    }
    let owned = testbed.pair.status().worker.expect("a worker").fd.owned;
    assert_eq!(owned.get("ssh"), Some(&16), "all handles are idle: {owned:?}");
    let (well, said) = check(&testbed, "host8");
    assert!(well, "{said}");
    let ran = testbed.run("host0", "read a.txt");
    assert!(ran.is_completed(), "{ran:#?}");
}
