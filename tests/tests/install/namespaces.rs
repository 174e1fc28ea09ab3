//! Commands in namespaces, in the unit, on a kernel of its own: a container supplies what a real
//! machine may lack.

use std::{fs, os::unix::fs::chown, time::Duration};

use evonic_tests::{machine::Emulated, size};

use crate::installation::package;

/// The commands of agents, by the names of their files in the workplace. Each line says what it
/// shows.
const COMMANDS: [(&str, &str); 2] = [
    (
        "probe",
        "\
echo processes: $(cat /proc/[0-9]*/comm)
echo group: $(cat /proc/self/cgroup)
echo terminals: $(ls /dev/pts)
cat /var/lib/evonic/admin.key /etc/shadow
ls /run/evonic /root
unshare --user true || echo no more namespaces
touch /usr/here /sys/fs/cgroup/system.slice/evonic.service/cgroup.procs || echo nothing is written
: </dev/tcp/127.0.0.1/8420 && echo the service is reached
env -i setsid sleep 4711 </dev/null >/dev/null 2>&1 &
",
    ),
    ("alone", ": </dev/tcp/127.0.0.1/8420 || echo interfaces: $(grep -c : /proc/net/dev)\n"),
];

/// A second workplace is without a network. Once no command runs any more, only the service does.
const SCRIPT: &str = "\
systemctl is-active evonic
evonic workplace check local
evonic workplace add closed --kind local --settings '{\"network\": \"none\"}'
evonic workplace check closed
evonic agent add hermit --model runbook --workplace closed
evonic chat runbook '$ bash probe 2>&1'
evonic chat hermit '$ bash alone 2>&1'
ended() { [ -z \"$(find $groups -mindepth 1 -type d)\" ] && [ \"$(pgrep -cu evonic)\" = 2 ]; }
groups=/sys/fs/cgroup/system.slice/evonic.service/commands
for try in $(seq 100); do ended && break; sleep 0.1; done
echo left: $(pgrep -lu evonic | cut -d ' ' -f 2 | sort)
echo groups: $(find $groups -mindepth 1 -type d)
echo namespaces: $(readlink /proc/[0-9]*/ns/user | sort -u | wc -l)
echo the key: $(cat /var/lib/evonic/admin.key)
echo covered: $(nsenter -t $(systemctl show -P MainPID evonic) -m cut -d ' ' -f 5 /proc/self/mountinfo |
    grep '^/proc/' | grep -v binfmt_misc)
fresh='setpriv --reuid evonic --regid evonic --clear-groups '
fresh=\"$fresh bwrap --unshare-user --unshare-pid --ro-bind / / --proc /proc true\"
unshare --mount $fresh && echo a whole /proc allows a fresh one
for part in sys kmsg; do
    unshare --mount sh -c \"mount --bind /proc/$part /proc/$part && $fresh\" || echo not under /proc/$part
done
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
    for (name, command) in COMMANDS {
        fs::write(workplace.join(name), command).expect("a file");
    }
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
    shows("processes: evonic-init bash bash cat\n");
    shows("group: 0::/system.slice/evonic.service/commands/call_");
    shows("terminals: ptmx\n");
    shows("cat: /var/lib/evonic/admin.key: No such file or directory");
    shows("cat: /etc/shadow: Permission denied");
    shows("no more namespaces\n");
    shows("nothing is written\n");
    shows("the service is reached\n");
    // Its own loopback is up, and nobody listens there.
    shows("/dev/tcp/127.0.0.1/8420: Connection refused\n");
    shows("interfaces: 1\n");
    shows("\nleft: evonic evonic-supervis\n");
    shows("\ngroups:\n");
    shows("\nnamespaces: 1\n");
    let key = seen.lines().find_map(|line| line.strip_prefix("the key: ")).expect("it is there");
    assert!(key.starts_with("evk_") && seen.matches(key).count() == 1, "{seen}");
    // The unit covers no part of /proc. On Debian 12 a fresh one would be allowed all the same, for
    // systemd leaves an uncovered one below its root; later versions do not.
    shows("\ncovered:\n");
    shows("a whole /proc allows a fresh one\n");
    shows("not under /proc/sys\n");
    shows("not under /proc/kmsg\n");
}
