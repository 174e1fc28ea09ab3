//! Files and folders outside of the workplace, which the service's user may change.

use super::{
    Attempt,
    Level::{Landlock, Namespaces, None},
};

pub(super) fn attempts() -> Vec<Attempt> {
    const READ: &str = "read files of the service's user";
    const WRITE: &str = "write, make, move and remove files of the service's user";
    const INIT: &str = "look into the first process of its own sandbox";
    const PROC: &str = "reach files through other processes of the service's user";
    vec![
        Attempt::new("read", READ, r#"reads "$OUT/secret""#).own(None),
        Attempt::new("list", READ, r#"ls "$OUT/folder" | grep -q ."#).own(None),
        Attempt::new("append", WRITE, r#"opens "$OUT/file""#).own(None),
        Attempt::new("create", WRITE, r#": > "$OUT/created""#).own(None),
        Attempt::new("truncate", WRITE, r#": > "$OUT/cut""#).own(None),
        Attempt::new("truncate-by-name", WRITE, r#"native truncate "$OUT/cut""#).own(None).since(3),
        Attempt::new("remove", WRITE, r#"rm -f "$OUT/removed" && [ -d "$OUT" ]"#).own(None),
        Attempt::new("make-folder", WRITE, r#"mkdir "$OUT/made""#).own(None),
        Attempt::new("remove-folder", WRITE, r#"rmdir "$OUT/empty""#).own(None),
        Attempt::new("move-in", WRITE, r#"mv "$OUT/moved" . && [ -e moved ]"#).own(None),
        Attempt::new("move-out", WRITE, r#"echo x > placed && mv placed "$OUT/""#).own(None),
        Attempt::new("exchange", WRITE, r#"mv "$OUT/folder" "$OUT/folder2" && mv "$OUT/folder2" "$OUT/folder""#)
            .own(None),
        Attempt::new("link-read", READ, r#"ln -s "$OUT/secret" link; reads link"#).own(None),
        Attempt::new("link-write", WRITE, r#"ln -s "$OUT/file" to-write; opens to-write"#).own(None),
        Attempt::new("link-folder", WRITE, r#"ln -s "$OUT" to; : > to/linked"#).own(None),
        Attempt::new("link-to-proc", READ, r#"ln -s /proc/self/root/"$OUT" via; reads via/secret"#)
            .own(None),
        Attempt::new("upwards", READ, r#"reads "../../../../../../$OUT/secret""#).own(None),
        Attempt::new("hard-link-in", READ, r#"ln "$OUT/secret" hard && reads hard"#).own(None),
        Attempt::new("hard-link-out", WRITE, r#"echo x > own; ln own "$OUT/hard""#).own(None),
        Attempt::new("fifo", WRITE, r#"mkfifo "$OUT/fifo""#).own(None),
        Attempt::new("socket", WRITE, r#"native bind "$OUT/socket""#).own(None),
        Attempt::new("device-null", "make devices", "mknod null c 1 3").refused(),
        Attempt::new("device-memory", "make devices", "mknod memory c 1 1").refused(),
        Attempt::new("device-disk", "make devices", "mknod disk b 8 0").refused(),
        Attempt::new("device-open", "read devices", "for it in /dev/mem /dev/kmem /dev/port /dev/kmsg /dev/[sv]d[a-z] /dev/nvme* /dev/fuse /dev/kvm /dev/vhost-vsock; do opens $it && exit; done; exit 1").anybody(None).sometimes(),
        Attempt::new("truncate-by-open", WRITE, r#"native open-truncate "$OUT/cut""#).own(None),
        Attempt::new("temporary-file", WRITE, r#"native temporary-file "$OUT""#).own(None),
        Attempt::new("exchange-by-call", WRITE, r#"echo x > mine; native exchange mine "$OUT/swapped""#)
            .own(None),
        Attempt::new("overwrite-by-name", WRITE, r#"echo x > over; mv -f over "$OUT/over""#).own(None),
        Attempt::new("link-replaced", WRITE, r#"ln -sfn "$OUT/file" loop; mv -T loop "$OUT/loop""#)
            .own(None),
        Attempt::new("whiteout", WRITE, r#"mknod "$OUT/whiteout" c 0 0"#).own(None).sometimes(),
        Attempt::new("reopen", READ, r#"native reopen "$OUT/secret""#).own(None),
        Attempt::new("link-descriptor", READ, r#"native link-descriptor "$OUT/secret" linked && reads linked"#)
            .own(None)
            .sometimes(),
        Attempt::new("own-root", READ, r#"reads "/proc/self/root$OUT/secret" || reads "/proc/thread-self/root$OUT/secret""#)
            .own(None),
        Attempt::new("own-folder", READ, r#"reads "/proc/self/cwd/../../../../../../../..$OUT/secret""#)
            .own(None),
        Attempt::new("program-elsewhere", READ, r#""$OUT/program""#).own(None),
        Attempt::new("handle", "gain privileges", r#"native handle "$OUT/secret""#).refused(),
        Attempt::new("process-root", PROC, r#"is "$VICTIM" native && reads "/proc/$VICTIM/root$OUT/secret""#)
            .own(None),
        Attempt::new("process-folder", PROC, r#"is "$VICTIM" native && reads "/proc/$VICTIM/cwd/secret""#)
            .own(None),
        Attempt::new("process-descriptor", PROC, r#"is "$VICTIM" native && reads "/proc/$VICTIM/fd/9""#)
            .own(None),
        Attempt::new("init-root", INIT, r#"reads "/proc/1/root$OUT/secret""#).refused(),
        Attempt::new("init-descriptors", INIT, "ls /proc/1/fd/").refused(),
        Attempt::new("thread-root", PROC, r#"is "$VICTIM" native && reads "/proc/$VICTIM/task/$VICTIM/root$OUT/secret""#)
            .own(None),
        Attempt::new("overwrite-program", "overwrite the runner's program", r#"for pid in 1 $PPID "$RUNNER" "$WORKER"; do opens /proc/$pid/exe && exit; done; exit 1"#).refused(),
        Attempt::new("system-file", "change the system's files", "opens /etc/passwd || : > /etc/new || : > /usr/bin/new").refused(),
        Attempt::new("system-link", "change the system's files", "ln /usr/bin/env /usr/bin/new || mv /bin/true /bin/gone").refused(),
        Attempt::new("system-mode", "change the system's files", "chmod 4755 /usr/bin/env || touch -d @1 /etc/passwd").refused(),
        Attempt::new("shadow", "read the system's secrets", "reads /etc/shadow || reads /etc/sudoers").refused(),
        Attempt::new("kernel-setting", "change settings of the kernel", "for it in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/vm/overcommit_memory /proc/sysrq-trigger /sys/kernel/mm/ksm/run; do opens $it && exit; done; exit 1").refused(),
        Attempt::new("control-group", "change control groups", "for it in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/*/tasks; do opens $it && exit; done; mkdir /sys/fs/cgroup/new").refused(),
        Attempt::new("shared-memory-read", "share `/dev/shm` with everybody", r#"reads "/dev/shm/$MARK""#)
            .anybody(Landlock),
        Attempt::new("shared-memory-write", "share `/dev/shm` with everybody", r#": > "/dev/shm/$MARK-new" && [ -e "/dev/shm/$MARK" ]"#)
            .anybody(Landlock),
        Attempt::new("temporary-read", "share `/tmp` and `/var/tmp` with everybody", r#"reads "/tmp/$MARK""#)
            .anybody(None),
        Attempt::new("temporary-write", "share `/tmp` and `/var/tmp` with everybody", r#"[ -e "/var/tmp/$MARK" ] && : > "/var/tmp/$MARK-new""#)
            .anybody(None),
        Attempt::new("root-folder", "make files in folders of the sandbox that have no bound", ": > /new || : > /dev/new || mkdir /var/new /run/new").refused(),
        Attempt::new("disk", "fill the disk that the workplace is on", ": > filled").anybody(Namespaces),
    ]
}
