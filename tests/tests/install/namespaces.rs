//! Commands in namespaces, in the unit, on a kernel of its own: a container supplies what a real
//! machine may lack.

use std::{fs, os::unix::fs::chown, time::Duration};

use evonic_tests::{machine::Emulated, size};

use crate::installation::package;

/// Each line says what it shows. The command runs in the workplace `local`.
const COMMAND: &str = "\
echo processes: $(cat /proc/[0-9]*/comm)
echo group: $(cat /proc/self/cgroup)
echo terminals: $(ls /dev/pts)
cat /var/lib/evonic/admin.key /etc/shadow
ls /run/evonic /root
unshare --user true || echo no more namespaces
touch /usr/here /sys/fs/cgroup/system.slice/evonic.service/cgroup.procs || echo nothing is written
env -i setsid sleep 4711 </dev/null >/dev/null 2>&1 &
";

/// A second workplace is without a network.
const SCRIPT: &str = "\
systemctl is-active evonic
evonic workplace check local
evonic workplace add closed --kind local --settings '{\"network\": \"none\"}'
evonic workplace check closed
evonic chat runbook '$ sh probe 2>&1'
echo left: $(pgrep -f '^sleep 4711')
sleep 0.5
find /sys/fs/cgroup/system.slice/evonic.service/commands -mindepth 1 -type d
echo the key: $(cat /var/lib/evonic/admin.key)
journalctl -u evonic --no-pager -o cat
";

#[test]
fn the_unit_gives_commands_namespaces_on_a_real_machine() {
    let machine = Emulated::new();
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(package(folder.path(), None), machine.path("/root/evonic.deb")).expect("a package");
    // With its dependencies, bubblewrap among them.
    machine.prepare(&["dpkg", "-i", "/root/evonic.deb"]);
    let accounts = fs::read_to_string(machine.path("/etc/passwd")).expect("accounts");
    assert!(accounts.contains("\nevonic-agent:x:"), "{accounts}");
    let workplace = machine.path("/var/lib/evonic/workplace");
    fs::create_dir_all(&workplace).expect("a folder");
    fs::write(workplace.join("probe"), COMMAND).expect("a file");
    for path in [workplace.parent().expect("the state's"), &workplace] {
        let own = accounts.lines().find_map(|line| line.strip_prefix("evonic:x:"));
        let own = own.and_then(|line| line.split(':').next()?.parse().ok());
        chown(path, own, None).expect("it belongs to the service");
    }

    let began = std::time::Instant::now();
    let seen = machine.run(SCRIPT, Duration::from_secs(240));
    size::report("an emulated machine, from power on to off", began.elapsed().as_secs(), "s");
    let shows = |what: &str| assert!(seen.contains(what), "not there: {what}\n{seen}");
    shows("active\n");
    assert_eq!(seen.matches("namespaces: commands run in namespaces").count(), 2, "{seen}");
    assert!(!seen.contains("cannot be worked in"), "{seen}");
    shows("processes: evonic-init sh cat\n");
    shows("group: 0::/system.slice/evonic.service/commands/call_");
    shows("terminals: ptmx\n");
    shows("cat: /var/lib/evonic/admin.key: No such file or directory");
    shows("cat: /etc/shadow: Permission denied");
    shows("no more namespaces\n");
    shows("nothing is written\n");
    shows("\nleft:\n");
    let groups = seen.lines().filter(|line| line.starts_with("/sys/fs/cgroup/"));
    assert_eq!(groups.count(), 0, "{seen}");
    let key = seen.lines().find_map(|line| line.strip_prefix("the key: ")).expect("it is there");
    assert!(key.starts_with("evk_") && seen.matches(key).count() == 1, "{seen}");
}
