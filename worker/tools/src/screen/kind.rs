//! What binary output is, where its first bytes say so.

use memchr::memmem;

/// Beginnings of files, and what they are.
const BEGINNINGS: [(&[u8], &str); 26] = [
    (b"\x7fELF", "an ELF program or library"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"RIFF", "a RIFF file: WebP, WAV or AVI"),
    (b"\0\0\x01\0", "an icon"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"PK\x03\x04", "a ZIP archive, or a document that is one"),
    (b"%PDF-", "PDF"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\0asm", "WebAssembly"),
    (b"\xca\xfe\xba\xbe", "a Java class"),
    (b"OggS", "Ogg"),
    (b"ID3", "MP3"),
    (b"fLaC", "FLAC"),
    (b"\xed\xab\xee\xdb", "an RPM package"),
    (b"!<arch>\n", "an ar archive: a library or a Debian package"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"wOF2", "a font"),
    (b"\xff\xfe", "UTF-16 text: iconv -f UTF-16 reads it"),
    (b"\xfe\xff", "UTF-16 text: iconv -f UTF-16 reads it"),
];

/// What begins with these bytes; [`None`] when they do not say.
pub(super) fn of(bytes: &[u8]) -> Option<&'static str> {
    let begins = BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning));
    if let Some((_, kind)) = begins {
        return Some(kind);
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some("an MP4 or HEIF file");
    }
    if memmem::find(bytes, b"ustar").is_some() {
        return Some("a tar archive");
    }
    let zeros = |first: usize| bytes.iter().skip(first).step_by(2).filter(|&&byte| byte == 0);
    let (even, odd, half) = (zeros(0).count(), zeros(1).count(), bytes.len() / 2);
    if half > 0 && (even == 0 || odd == 0) && (even + odd) * 10 >= half * 8 {
        return Some("UTF-16 text, perhaps: iconv -f UTF-16LE or -f UTF-16BE reads it");
    }
    let is_text = |byte: &u8| *byte >= 0x80 || byte.is_ascii_graphic() || b" \t\r\n".contains(byte);
    bytes.iter().all(is_text).then_some("not UTF-8; text in another encoding, perhaps: see iconv")
}
