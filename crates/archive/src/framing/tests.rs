//! Every row of the table: framing that is sent unchanged, packed anew, or refused.

use tar::Header as Written;

use super::super::fixture::{Tar, gz, header, record, scratch};
use super::super::{ArchiveError, ArchiveLimits, Examined, Violation, examine};
use super::*;

const ROOMY: ArchiveLimits = ArchiveLimits { max_unpacked: 1 << 40, max_entries: 1000 };

fn judge_gz(packed: &[u8]) -> Result<Examined, ArchiveError> {
    examine(|| Ok(packed), scratch, &ROOMY)
}

fn judge(tar: &[u8]) -> Result<Examined, ArchiveError> {
    judge_gz(&gz(tar))
}

fn quirk(tar: &[u8]) -> Option<Quirk> {
    match judge(tar).unwrap().framing {
        Framing::Canonical => None,
        Framing::Readable(departure) => Some(departure.quirk),
    }
}

fn violation(tar: &[u8]) -> Violation {
    match judge(tar) {
        Err(ArchiveError::Profile(violation)) => violation,
        other => panic!("expected a violation, got {other:?}"),
    }
}

/// A file `a` with one byte, its header changed.
fn file(change: impl FnOnce(&mut [u8; 512])) -> Tar {
    entry(Written::new_ustar(), b'0', "a", "x", change)
}

fn gnu(change: impl FnOnce(&mut [u8; 512])) -> Tar {
    entry(Written::new_gnu(), b'0', "a", "x", change)
}

fn entry(new: Written, kind: u8, name: &str, content: &str, change: impl FnOnce(&mut [u8; 512])) -> Tar {
    let mut header = header(new, kind, name.as_bytes(), content.len() as u64);
    change(header.as_mut_bytes());
    Tar::default().block(header, content)
}

fn put(at: usize, bytes: &'static [u8]) -> impl FnOnce(&mut [u8; 512]) {
    move |header| header[at..at + bytes.len()].copy_from_slice(bytes)
}

fn long_link(payload: &[u8]) -> Tar {
    Tar::default().block(header(Written::new_gnu(), b'L', b"././@LongLink", payload.len() as u64), payload)
}

fn then(first: Tar, second: Tar) -> Vec<u8> {
    [first.bytes(), &second.ended()].concat()
}

#[test]
fn canonical_framing_is_recognized() {
    let x = |key, value| Tar::default().entry(b'x', "PaxHeaders/a", record(key, value));
    for (what, tar) in [
        ("ustar", file(|_| {}).ended()),
        ("gnu", gnu(|_| {}).ended()),
        ("spaces behind", file(put(100, b"000644 \0")).ended()),
        ("one space behind", file(put(136, b"03560116604 ")).ended()),
        ("no owner", file(put(108, &[0; 16])).ended()),
        ("a far owner", gnu(put(108, b"\x80\0\0\0\x3b\xa4\xce\x10")).ended()),
        ("names", file(put(265, b"J\xc3\xb6rg")).ended()),
        ("devices", file(put(329, b"0000000\x000000000\0")).ended()),
        ("a prefix", file(put(345, b"dir/below")).ended()),
        ("a prefix that fills its field", file(put(345, &[b'p'; 155])).ended()),
        ("a name that fills its field", file(put(0, &[b'n'; 100])).ended()),
        (
            "any order, owner and time",
            then(
                file(put(108, b"0001750\0")),
                entry(Written::new_ustar(), b'0', "A0", "", put(136, b"14000000000\0")),
            ),
        ),
        ("directories", entry(Written::new_ustar(), b'5', "dir/", "", put(100, b"0002775\0")).ended()),
        ("without a slash", entry(Written::new_ustar(), b'5', "dir", "", put(100, b"0000755\0")).ended()),
        ("an executable", file(put(100, b"0000755\0")).ended()),
        ("pax times", then(x("mtime", "1700000000.25"), file(|_| {}))),
        (
            "a comment of git",
            then(Tar::default().entry(b'g', "pax_global_header", record("comment", "0af3")), file(|_| {})),
        ),
        (
            "a long name of GNU tar",
            then(long_link(&[&[b'd'; 150][..], b"/f\0"].concat()), gnu(put(0, &[b'd'; 100]))),
        ),
    ] {
        assert_eq!(quirk(&tar), None, "{what}");
    }
    let mut padded = file(|_| {}).ended();
    padded.resize(10240, 0);
    assert_eq!(quirk(&padded), None);
}

#[test]
fn a_readable_framing_names_its_first_departure() {
    let x = |key, value| Tar::default().entry(b'x', "PaxHeaders/a", record(key, value));
    let g = |key, value| Tar::default().entry(b'g', "pax_global_header", record(key, value));
    let k = || Tar::default().block(header(Written::new_gnu(), b'K', b"././@LongLink", 2), "l\0");
    let plain = || file(|_| {});
    let long = |payload: &[u8]| then(long_link(payload), gnu(|_| {}));
    let padding = |mut tar: Vec<u8>, at: usize| {
        tar[at] = 1;
        tar
    };
    for (expected, tar) in [
        (Quirk::Magic, entry(Written::new_old(), 0, "a", "", |_| {}).ended()),
        (Quirk::Magic, entry(Written::new_old(), 0, "a/", "", |_| {}).ended()),
        (Quirk::Magic, file(put(263, b"01")).ended()),
        (Quirk::NameTail, file(put(50, b"hidden")).ended()),
        (Quirk::NameTail, file(put(476, b"14000000000 14000000000 ")).ended()),
        (Quirk::NameTail, file(put(345, b"dir\0more")).ended()),
        (Quirk::NameTail, file(put(508, b"tar\0")).ended()),
        (Quirk::NameTail, gnu(put(345, b"14000000000\x0014000000000\0")).ended()),
        (Quirk::NameTail, gnu(put(483, b"00000000001\0")).ended()),
        (Quirk::Size, gnu(put(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x01")).ended()),
        (Quirk::Size, file(put(124, b"          1\0")).ended()),
        (Quirk::Size, file(put(124, b"000000000001")).ended()),
        (Quirk::Mode, file(put(100, b"   644 \0")).ended()),
        (Quirk::Mode, file(put(100, b"0004755\0")).ended()),
        (Quirk::Mode, file(put(100, b"0100644\0")).ended()),
        (Quirk::Mode, file(put(100, b"0000645\0")).ended()),
        (Quirk::Mode, file(put(100, b"0000044\0")).ended()),
        (Quirk::Mode, entry(Written::new_ustar(), b'5', "d/", "", put(100, b"0000555\0")).ended()),
        (Quirk::Owner, file(put(108, b"nobody!\0")).ended()),
        (Quirk::Owner, file(put(116, b"+000017\0")).ended()),
        (Quirk::Owner, file(put(116, b"\xff\xff\xff\xff\xff\xff\xff\xfe")).ended()),
        (Quirk::Time, file(put(136, b"yesterday\0\0\0")).ended()),
        (Quirk::Time, file(put(136, b"-0000000001\0")).ended()),
        (Quirk::Time, file(put(136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")).ended()),
        (Quirk::Link, file(put(157, b"/etc/passwd")).ended()),
        (Quirk::Link, then(k(), gnu(|_| {}))),
        (Quirk::OwnerName, file(put(265, b"a\nb")).ended()),
        (Quirk::OwnerName, file(put(297, &[b'a'; 32])).ended()),
        (Quirk::Device, file(put(329, b"0000001\0")).ended()),
        (Quirk::Device, file(put(337, b"xyz\0\0\0\0\0")).ended()),
        (Quirk::Type, entry(Written::new_ustar(), b'7', "a", "x", |_| {}).ended()),
        (Quirk::Type, entry(Written::new_ustar(), 0, "a", "x", |_| {}).ended()),
        (Quirk::Type, entry(Written::new_ustar(), 0, "a/", "", |_| {}).ended()),
        (Quirk::Padding, padding(plain().ended(), 1000)),
        (Quirk::Padding, padding(then(x("mtime", "1"), plain()), 1000)),
        (Quirk::Padding, padding(then(g("comment", "1"), plain()), 1000)),
        (Quirk::Padding, padding(long(b"name\0"), 1000)),
        (Quirk::LongName, long(b"name")),
        (Quirk::ShortForm, then(long_link(b"n\0"), gnu(put(0, b"a/")))),
        (
            Quirk::LongName,
            then(Tar::default().block(header(Written::new_gnu(), b'L', b"long", 2), "n\0"), gnu(|_| {})),
        ),
        (Quirk::Magic, then(long_link(b"n\0"), plain())),
        (Quirk::Magic, then(x("mtime", "1"), gnu(|_| {}))),
        (Quirk::Pax, then(x("path", "b"), plain())),
        (Quirk::Pax, then(x("size", "1"), plain())),
        (Quirk::Pax, then(x("LIBARCHIVE.creationtime", "1"), plain())),
        (Quirk::Pax, then(x("comment", "a\nb"), plain())),
        (Quirk::Global, then(Tar::default().entry(b'g', "PaxHeaders/g", record("comment", "1")), plain())),
        (Quirk::Global, then(g("mtime", "1"), plain())),
        (
            Quirk::Global,
            [plain().bytes(), &then(g("comment", "1"), entry(Written::new_ustar(), b'0', "b", "", |_| {}))]
                .concat(),
        ),
        (
            Quirk::Extensions,
            then(
                x("mtime", "1"),
                Tar::default().block(header(Written::new_gnu(), b'L', b"././@LongLink", 2), "n\0"),
            )
            .strip_suffix(&[0; 1024])
            .map(|two| [two, &gnu(|_| {}).ended()].concat())
            .unwrap(),
        ),
        (Quirk::End, plain().bytes().to_vec()),
        (Quirk::End, [plain().bytes(), &[0; 512]].concat()),
        (Quirk::End, [plain().bytes(), &[0; 1100]].concat()),
    ] {
        assert_eq!(quirk(&tar), Some(expected), "{}", FramingDeparture::new(expected, None));
    }
}

#[test]
fn a_framing_that_readers_unpack_differently_is_refused() {
    let x = |records: &[u8]| Tar::default().entry(b'x', "PaxHeaders/a", records);
    let prefixed = Violation::Prefix("a".into());
    let key = |key: &str| Violation::PaxKey(key.into());
    let plain = || file(|_| {});
    for (expected, tar) in [
        (prefixed.clone(), gnu(put(345, b"dir\0")).ended()),
        (prefixed.clone(), gnu(put(345, b"14000000000\x0014000000000\0dir")).ended()),
        (
            prefixed.clone(),
            file(|header| [put(345, b"dir"), put(263, b"\0\0\0")].into_iter().for_each(|put| put(header)))
                .ended(),
        ),
        (prefixed.clone(), then(long_link(b"n\0"), gnu(put(345, b"dir")))),
        (Violation::Header, file(put(124, b"+0000000001\0")).ended()),
        (Violation::Header, file(put(124, b"00000000001x")).ended()),
        (Violation::Header, file(put(124, b"1\0          ")).ended().map_byte(130, b'7')),
        (Violation::Header, file(put(100, b"+000644\0")).ended()),
        (Violation::Header, file(put(100, &[0; 8])).ended()),
        (
            Violation::Ambiguous,
            then(x(&record("mtime", "1")), Tar::default().entry(b'g', "g", record("comment", "1"))),
        ),
        (key("mtime"), then(x(&[record("mtime", "1"), record("mtime", "2")].concat()), plain())),
        (key("path"), then(x(&record("path", "")), plain())),
        (Violation::Pax, then(x(&record("size", "")), plain())),
        (Violation::PaxSize("a".into()), then(x(&record("size", "9")), plain())),
        (
            Violation::EntryType {
                path: "a".into(),
                found: "a sparse file",
                allowed: "regular files and directories",
            },
            then(x(&record("SCHILY.realsize", "9")), plain()),
        ),
        (Violation::UnexpectedContent("a".into()), entry(Written::new_ustar(), 0, "a/", "x", |_| {}).ended()),
        (Violation::TrailingData, [plain().bytes(), &[0; 512], plain().bytes()].concat()),
    ] {
        assert_eq!(violation(&tar), expected);
    }
}

trait MapByte {
    /// Changes a byte and corrects the checksum of the first header.
    fn map_byte(self, at: usize, byte: u8) -> Self;
}

impl MapByte for Vec<u8> {
    fn map_byte(mut self, at: usize, byte: u8) -> Self {
        self[at] = byte;
        let mut header = Written::from_byte_slice(&self[..512]).clone();
        header.set_cksum();
        self[..512].copy_from_slice(header.as_bytes());
        self
    }
}

#[test]
fn canonical_gzip_has_one_member_and_no_field_except_a_name() {
    let tar = file(|_| {}).ended();
    let quirk = |packed: &[u8]| match judge_gz(packed).unwrap().framing {
        Framing::Canonical => None,
        Framing::Readable(departure) => Some(departure.quirk),
    };
    let with = |builder: flate2::GzBuilder| {
        let mut encoder = builder.write(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &tar).unwrap();
        encoder.finish().unwrap()
    };
    let new = flate2::GzBuilder::new;
    assert_eq!(quirk(&with(new().filename("volume.tar").mtime(7))), None);
    assert_eq!(quirk(&with(new().comment("hidden"))), Some(Quirk::GzipHeader));
    assert_eq!(quirk(&with(new().extra("hidden"))), Some(Quirk::GzipHeader));
    assert_eq!(quirk(&with(new().filename("n".repeat(255)))), None);
    assert_eq!(quirk(&with(new().filename("n".repeat(256)))), Some(Quirk::GzipHeader));
    for at in [1, 511, 512, 600, tar.len()] {
        let members = [gz(&tar[..at]), gz(&tar[at..])].concat();
        assert_eq!(quirk(&members), Some(Quirk::Members), "{at}");
    }
    for zeros in [1, 9000, 200_000] {
        assert_eq!(quirk(&[gz(&tar), vec![0; zeros]].concat()), Some(Quirk::Zeros));
    }
    for behind in
        [&b"garbage"[..], b"\0\0x", &[&[0; 200_000][..], b"x"].concat(), &[&[0][..], &gz(b"")].concat()]
    {
        let refused = judge_gz(&[&gz(&tar)[..], behind].concat());
        assert!(matches!(refused, Err(ArchiveError::Gzip(_))), "{refused:?}");
    }
}

#[test]
fn a_gzip_that_is_also_a_tar_header_is_packed_anew() {
    // The name in gzip's header extends to the offset of a tar header's checksum.
    let disguised = |sum: &str| {
        let mut name = vec![b'n'; 138];
        name.extend_from_slice(sum.as_bytes());
        name.resize(250, b'n');
        let mut encoder =
            flate2::GzBuilder::new().filename(name).write(Vec::new(), flate2::Compression::none());
        std::io::Write::write_all(&mut encoder, &file(|_| {}).ended()).unwrap();
        encoder.finish().unwrap()
    };
    let packed = disguised("0000000 ");
    let sum: u32 = packed[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| match at {
            148..156 => 32,
            _ => u32::from(*byte),
        })
        .sum();
    let packed = disguised(&format!("{sum:07o} "));
    let examined = judge_gz(&packed).unwrap();
    assert_eq!(examined.framing, Framing::Readable(FramingDeparture::new(Quirk::Disguise, None)));
}

#[test]
fn the_text_of_a_departure_names_its_entry() {
    let told = |tar: &[u8]| match judge(tar).unwrap().framing {
        Framing::Canonical => String::new(),
        Framing::Readable(departure) => departure.to_string(),
    };
    assert_eq!(told(&file(put(157, b"x")).ended()), "the entry `a` has a link name");
    assert_eq!(told(file(|_| {}).bytes()), "it has an end that is not two zero blocks");
}
