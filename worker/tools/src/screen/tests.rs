use std::fmt::Write as _;

use proptest::prelude::*;

use super::{Screen, fuzz};

const MAX_BYTES: usize = 64 * 1024;

fn seen(bytes: impl AsRef<[u8]>) -> String {
    let mut screen = Screen::new(MAX_BYTES);
    screen.push(bytes.as_ref());
    screen.end()
}

fn check(bytes: &str, expected: &str) {
    assert_eq!(seen(bytes), expected, "of {bytes:?}");
    fuzz(&[&[3], bytes.as_bytes()].concat());
}

#[test]
fn plain_text_is_as_it_came() {
    let long = "x".repeat(10_000) + "\n" + &"é漢e\u{301}\t".repeat(1000);
    for text in ["", "a", "a\n", "\n\n a \t b  \n", "tail  ", "héllo 漢字 👩‍👩‍👧 e\u{301}\n", &long]
    {
        check(text, text);
    }
}

#[test]
fn overwritten_progress_is_its_last_state() {
    let mut bar = String::new();
    for percent in 0..=100 {
        write!(bar, "\rfetching [{:<10}] {percent}%", "#".repeat(percent / 10)).unwrap();
    }
    check(&(bar.clone() + "\ndone\n"), "fetching [##########] 100%\ndone\n");
    check("12345\rab", "ab345");
    check("one\r\ntwo\r\n", "one\ntwo\n");
    check("counting 10\x08\x0811", "counting 11");
    check("N\x08Na\x08am\x08me _\x08x", "Name x");
    check("long line\r\x1b[Kshort", "short");
    check("long line\rshort    \n", "short\n");
    check("working...\r\x1b[2Kdone\n", "done\n");
    // curl: its table goes to the same line.
    let curl = "  % Total\n\r  0     0\r 50   512\r100  1024\n";
    check(curl, "  % Total\n100  1024\n");
}

#[test]
fn several_lines_of_progress_are_their_last_states() {
    let mut docker = "a: waiting\nb: waiting\n".to_owned();
    docker.push_str("\x1b[2A\x1b[2Ka: pulling\x1b[2B\r\x1b[1A\x1b[2Kb: pulling\r\x1b[B");
    docker.push_str("\x1b[2A\r\x1b[2Ka: done\x1b[1B\r\x1b[2Kb: done\n");
    check(&docker, "a: done\nb: done\n");
    check("1\n2\n3\x1b[2F\x1b[0Jnew", "new");
    check("1\n2\n3\x1b[1;1Hx\x1b[3;2Hy", "x\n2\n3y");
}

#[test]
fn colours_titles_and_links_are_not_seen() {
    check("\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3mx\x1b[m", "red x");
    check("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb");
    check("\x1b[?25lhidden cursor\x1b[?25h", "hidden cursor");
    check("grep: \x1b[01;31m\x1b[Kmatch\x1b[m\x1b[K rest", "grep: match rest");
    check("\x1bPq#0;2;0;0;0#0~~@@\x1b\\sixel", "sixel");
    check("bell\x07 \x1b[6n\x1b[c\x1b[>q?", "bell ?");
    check("\x1b(0lqk\x1b(B box", "┌─┐ box");
    check("a\x1b[3Cb", "a   b");
    check("-\x1b[9b|", "----------|");
}

#[test]
fn a_sequence_that_never_ends_hides_no_more_than_its_line() {
    check("\x1b]0;never ended\nshown\n", "\nshown\n");
    let swallowed = "\x1b_".to_owned() + &"x".repeat(70_000) + "\nshown\n";
    assert!(seen(&swallowed).ends_with("\nshown\n"));
    check("cut \x1b[31", "cut ");
    check("\x1b[31\x18cancelled", "cancelled");
}

#[test]
fn wide_characters_are_overwritten_whole() {
    check("漢字\rab", "ab字");
    check("漢字\ra", "a 字");
    check("ab\r漢", "漢");
    check("a\tb\rxx", "xx      b");
    check("e\u{301}x\ra", "ax");
    check("x\x1b[5Ge\u{301}", "x   e\u{301}");
}

#[test]
fn a_full_screen_program_is_told_of() {
    let vim = "$ vim\n\x1b[?1049h\x1b[2J\x1b[Hfile contents\x1b[?1049lback\n";
    check(vim, "$ vim\nback\n[a full-screen program ran on a screen of its own, which is gone]");
    check(
        "before\n\x1b[?1049h\x1b[Htop - 12:00\r\n  PID\r\n",
        "before\n[a full-screen program had the screen to the end; it showed:]\ntop - 12:00\n  PID",
    );
    check(
        "one\ntwo\n\x1b[H\x1b[2Jthree\n",
        "[the screen was cleared: 2 lines that stood there before are not shown]\nthree\n",
    );
}

#[test]
fn what_scrolled_out_stays() {
    let mut bytes: String = (0..1000).map(|line| format!("line {line}\n")).collect();
    let text = bytes.clone();
    bytes.push_str("\x1b[500A\x1b[2Kup");
    let seen = seen(&bytes);
    assert!(seen.starts_with("line 0\nline 1\n"));
    assert!(seen.contains("\nline 800\nup\nline 802\n"), "{seen}");
    assert_eq!(seen.lines().count(), text.lines().count());
    // A status line at the bottom, as apt draws it, stays below what scrolls above it.
    let mut apt = "\x1b7\x1b[1;3r\x1b8".to_owned();
    for step in 1..=6 {
        write!(apt, "step {step}\n\x1b7\x1b[5;1Hprogress {step}0%\x1b[K\x1b8").unwrap();
    }
    check(&apt, "step 1\nstep 2\nstep 3\nstep 4\nstep 5\nstep 6\n\n\nprogress 60%");
}

#[test]
fn binary_output_is_said_and_not_shown() {
    let note = |bytes: &[u8], expected: &str| {
        assert_eq!(seen(bytes), expected);
        fuzz(&[&[7], bytes].concat());
    };
    let elf = [&b"start\n\x7fELF\x02\x01\x01\0\0\0"[..], &[0xe8; 3000], b"\0.shstrtab\0"].concat();
    note(&elf, "start\n[binary output, 3,021 bytes (an ELF program or library), not shown]");
    let png = [b"\x89PNG\r\n\x1a\n", &[0x80; 900][..], b"exit 0\n"].concat();
    note(&png, "[binary output, 908 bytes (a PNG image), not shown]\nexit 0\n");
    note(&[0; 5], "[binary output, 5 bytes, not shown]");
    note(b"\x00\x01\x02\xff\xfe", "[binary output, 5 bytes, not shown]");
    note(
        b"h\0e\0l\0l\0o\0!\0",
        "[binary output, 12 bytes (UTF-16 text, perhaps: iconv -f UTF-16LE or -f UTF-16BE reads \
         it), not shown]",
    );
    let latin = "\u{c4}\u{d6}\u{dc}".repeat(40).chars().map(|c| c as u8).collect::<Vec<_>>();
    note(
        &latin,
        "[binary output, 120 bytes (not UTF-8; text in another encoding, perhaps: see iconv), not \
         shown]",
    );
    let text = "all of this is text again, in lines\n".repeat(200);
    let both = [&elf, text.as_bytes()].concat();
    assert!(seen(&both).ends_with(&text), "text comes back");
}

#[test]
fn a_few_strange_bytes_are_text() {
    let latin = b"Gr\xfc\xdfe aus M\xfcnchen, wie man so sagt\n";
    assert_eq!(seen(latin), "Gr\u{fffd}\u{fffd}e aus M\u{fffd}nchen, wie man so sagt\n");
    assert_eq!(seen(b"^D\x04\x08\x08ok\n"), "ok\n");
    assert_eq!(
        seen(b"./one file\0./two\0./three\0"),
        "./one file\n./two\n./three\n[zero bytes are shown as ends of lines]"
    );
}

/// Text, control sequences and bytes, as programs and strangers write them.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "[a-zé漢\u{301}👍 \t]{0,12}".prop_map(String::into_bytes),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\x08\x08".to_vec()),
        "\x1b\\[[0-9;?]{0,5}[A-HJKLMPSTX@a-fhlrsumb]".prop_map(String::into_bytes),
        "\x1b[78cDEM]".prop_map(String::into_bytes),
        "\x1b[\\]P_][a-z;0-9]{0,9}(\x07|\x1b\\\\|\n|)".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..20),
        prop::collection::vec(any::<u8>(), 500..700),
        Just(vec![0; 3]),
        "[a-z ]{10,30}\n".prop_map(|line| line.repeat(300).into_bytes()),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn it_is_the_same_however_it_is_split(bytes in output(), length in 1..=255_u8) {
        fuzz(&[&[length], &bytes[..]].concat());
    }

    #[test]
    fn text_without_controls_passes(text in "[^\\x00-\\x08\\x0b-\\x1f\\x7f]{0,3000}") {
        prop_assert_eq!(seen(&text), text);
    }
}

/// Processor time, which others on this machine do not take.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Sequences of a few bytes that ask for as much as can be asked for.
fn greedy() -> Vec<(&'static str, String)> {
    let wide = "\x1b[1;1H".to_owned() + &"\x1b[2000G+\x1b[E".repeat(200);
    let full = "\x1b[1;1H".to_owned() + &("x".repeat(1999) + "\n").repeat(200);
    let marks = "\x1b[1;1H".to_owned() + &"e\u{301}".repeat(500) + "\r\x1b[2000G";
    [
        ("repeat", String::new(), "a\x1b[65535b"),
        ("repeat over", String::new(), "\r漢\x1b[65535b\ra\x1b[65535b"),
        ("repeat and erase", String::new(), "é\x1b[65535b\rx\x1b[2K"),
        ("scroll up", full.clone(), "\x1b[65535S"),
        ("scroll up and write", String::new(), "\x1b[999Hx\x1b[65535S"),
        ("scroll a part up", full.clone(), "\x1b[1;100r\x1b[99S"),
        ("scroll down", full.clone(), "\x1b[65535T"),
        ("scroll a part down", full.clone(), "\x1b[2;150r\x1b[99T"),
        ("insert lines", full.clone(), "\x1b[100H\x1b[65535L"),
        ("delete lines", full.clone(), "\x1b[100H\x1b[65535M\x1b[999Hx"),
        ("insert characters", wide.clone(), "\x1b[9G\x1b[65535@\x1b[2000Gx"),
        ("insert a character", wide.clone(), "\x1b[1;1H\x1b[@"),
        ("delete characters", wide.clone(), "\x1b[2000Gx\r\x1b[65535P"),
        ("erase characters", wide.clone(), "\r\x1b[65535X"),
        ("erase lines", full.clone(), "\x1b[65535G\x1b[1K\x1b[K"),
        ("erase the screen", String::new(), "\x1b[65535;65535Hx\x1b[2J"),
        ("erase above", wide.clone(), "\x1b[65535;65535H\x1b[1J\x1b[1;65535Hx"),
        ("move", full.clone(), "\x1b[65535A\x1b[65535B\x1b[65535C\x1b[65535D"),
        ("tabs", full.clone(), "\r\x1b[65535I"),
        ("tabs over text", full.clone(), "\x1b[9H\r\t\t\t\t\t\t"),
        ("columns of text", full.clone(), "\x1b[9;1999H\x1b[C\x1b[D"),
        ("tabs to cells", String::new(), "\x1b[65535I\x1b[65535I\rx\n"),
        ("marks", marks, "\u{301}e"),
        ("unmark by range", String::new(), "e\u{301}e\u{301}\x1b[2D\x1b[P\x1b[@"),
        ("a screen of its own", full, "\x1b[?1049h\x1b[65535Hx\x1b[?1049l"),
        ("doubt", String::new(), "plain text with a \x01 in it\n"),
    ]
    .map(|(name, mut bytes, repeated)| {
        bytes.push_str(&repeated.repeat((1 << 18) / repeated.len()));
        (name, bytes)
    })
    .into()
}

/// Text as programs write it takes a byte so little that it is no measure: a line that is
/// overwritten character by character is.
#[test]
fn a_few_bytes_never_cost_more_than_a_screen() {
    let time = |bytes: &str| {
        let begun = processor_time();
        let text = seen(bytes);
        assert!(text.len() <= MAX_BYTES + 1000);
        processor_time() - begun
    };
    let overwritten = time(&"\r[##########          ] 50% of what is to be done".repeat(5_500));
    for (name, bytes) in greedy() {
        let factor = time(&bytes) / overwritten;
        println!("{name}: {factor:.1} times");
        assert!(factor < 5.0 * 20.0, "{name}: {factor:.1} times");
    }
}

/// Without optimisation it takes a hundred times as long; a step that is quadratic takes more.
#[test]
fn it_is_fast() {
    let plain = "a line of a build's output, of a usual length, or so\n".repeat(20_000);
    let bar = "\r[##########          ] 50% of what is to be done".repeat(20_000);
    let colours = "\x1b[32m   Compiling\x1b[0m something v0.1.0 (/somewhere)\n".repeat(20_000);
    let binary: Vec<u8> =
        (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let latin = b"Gr\xfc\xdfe aus M\xfcnchen, wie man so sagt\n".repeat(20_000);
    for (name, bytes) in [
        ("plain", plain.as_bytes()),
        ("progress", bar.as_bytes()),
        ("colours", colours.as_bytes()),
        ("binary", &binary),
        ("latin", &latin),
    ] {
        let begun = processor_time();
        seen(bytes);
        let rate = bytes.len() as f64 / (processor_time() - begun) / 1e6;
        println!("{name}: {rate:.1} MB/s");
        assert!(rate > 0.2, "{name}: {rate:.2} MB/s");
    }
}
