//! The file as its writers see it: crashes, rotation, other processes, and what is no audit record.

use std::fs;
use std::io::BufReader;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::super::verify::{ChainVerifier, Misfit};
use super::*;

fn entry(number: u32) -> (Timestamp, AuditEntry) {
    let entry = AuditEntry::new(AuditAction::Reload, &Actor::Signal, None).with("about", number.to_string());
    (Timestamp(number.into()), entry)
}

fn verified(files: &[&Path]) -> Result<ChainVerifier, Misfit> {
    let mut verifier = ChainVerifier::default();
    for path in files {
        verifier.read(BufReader::new(File::open(path).unwrap())).unwrap()?;
    }
    Ok(verifier)
}

struct Ground {
    _folder: TempDir,
    path: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        Self { _folder: folder, path }
    }

    /// A record of so many lines.
    fn of(lines: u32) -> Self {
        let ground = Self::new();
        let mut file = AuditFile::open(&ground.path).unwrap();
        (0..lines).for_each(|number| file.append(&[entry(number)]).unwrap());
        ground
    }

    fn open(&self) -> AuditFile {
        AuditFile::open(&self.path).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }
}

#[test]
fn a_restart_goes_on_with_the_chain_and_the_file_is_its_owners_alone() {
    let ground = Ground::of(3);
    ground.open().append(&[entry(3), entry(4)]).unwrap();
    assert_eq!(verified(&[&ground.path]).unwrap().lines, 5);
    assert_eq!(fs::metadata(&ground.path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_line_that_a_crash_cut_anywhere_is_sealed_by_the_next_append() {
    let whole = Ground::of(2).bytes();
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in 1..whole.len() {
        let ground = Ground::new();
        fs::write(&ground.path, &whole[..cut]).unwrap();
        assert!(verified(&[&ground.path]).is_ok(), "cut at {cut}, before the next start");
        ground.open().append(&[entry(7)]).unwrap();
        let read = verified(&[&ground.path]).unwrap_or_else(|misfit| panic!("cut at {cut}: {misfit}"));
        let is_between = [first, first - 1, whole.len() - 1].contains(&cut);
        assert_eq!(read.seals, u64::from(!is_between), "cut at {cut}");
        assert!(ground.bytes().starts_with(&whole[..cut]), "nothing is taken away");
    }
}

#[test]
fn a_crash_while_sealing_is_sealed_too() {
    let ground = Ground::of(2);
    let mut torn = ground.bytes();
    torn.extend_from_slice(b"{\"time\":\"20\n{\"time\":\"2026-11-30T00:00:00.000Z\",\"who\":\"pro");
    fs::write(&ground.path, &torn).unwrap();
    ground.open().append(&[entry(2)]).unwrap();
    let read = verified(&[&ground.path]).unwrap();
    assert_eq!((read.lines, read.seals), (4, 1));
}

#[test]
fn whatever_is_changed_is_found_at_its_line() {
    let ground = Ground::of(6);
    let text = String::from_utf8(ground.bytes()).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let found = |lines: &[String]| {
        fs::write(&ground.path, lines.join("\n") + "\n").unwrap();
        verified(&[&ground.path]).map_err(|misfit| misfit.line).err()
    };
    assert_eq!(found(&lines), None);
    for at in 0..6_usize {
        let changed = lines[at].replace("reload", "import");
        let with = |line: &str| {
            let mut changed = lines.clone();
            changed[at] = line.to_owned();
            changed
        };
        let next = (at < 5).then_some(at as u64 + 2);
        assert_eq!(found(&with(&changed)), next, "a changed line is found by the one after it");
        assert_eq!(found(&with("noise")), Some(at as u64 + 1));
        let without: Vec<_> = lines
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != at)
            .map(|(_, line)| line.clone())
            .collect();
        assert_eq!(found(&without), (at < 5).then_some(at as u64 + 1), "a missing line");
    }
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    assert_eq!(found(&swapped), Some(3));
    // A seal over lines that were broken on purpose has to name the digest of what stood there.
    let mut chain = ChainedText::after(super::super::chain::digest(b"noise"));
    let seal = AuditEntry::new(AuditAction::Sealed, &Actor::Proxy, None);
    chain.add(&seal.with("lines", 1).with("sha256", ZEROS).with("after", ZEROS), Timestamp(0));
    let forged = String::from_utf8(chain.text).unwrap();
    assert_eq!(found(&[lines[0].clone(), "noise".to_owned(), forged.trim_end().to_owned()]), Some(2));
}

#[test]
fn a_renamed_file_is_continued_by_the_next() {
    let ground = Ground::of(2);
    let mut before = ground.open();
    let old = ground.path.with_extension("1");
    fs::rename(&ground.path, &old).unwrap();
    before.append(&[entry(2)]).unwrap();
    let mut next = ground.open().following(&before);
    next.append(&[entry(3)]).unwrap();
    next.append(&[entry(4)]).unwrap();
    assert_eq!(verified(&[&old, &ground.path]).unwrap().lines, 6, "three, the mark, and two");
    let alone = verified(&[&ground.path]).unwrap();
    assert!(alone.continues && alone.lines == 3);
    assert_eq!(verified(&[&ground.path, &old]).unwrap_err().line, 1, "the other way round");
    // Opened again without a change of name, nothing is marked.
    let mut again = ground.open().following(&next);
    again.append(&[entry(5)]).unwrap();
    assert_eq!(verified(&[&old, &ground.path]).unwrap().lines, 7);
}

#[test]
fn a_file_that_somebody_began_fits_only_if_a_line_of_it_continues_the_one_before() {
    let (first, second) = (Ground::of(3), Ground::of(2));
    let begun = verified(&[&first.path, &second.path]).unwrap_err();
    assert_eq!(begun.line, 1, "nobody says that it goes on: {begun}");
    // A writer that had the first file open is told that there is another one.
    let mut writer = first.open();
    let old = first.path.with_extension("1");
    fs::rename(&first.path, &old).unwrap();
    fs::rename(&second.path, &first.path).unwrap();
    writer.append(&[entry(9)]).unwrap();
    assert_eq!(verified(&[&first.path]).unwrap_err().line, 3, "alone it says that another stands before it");
    let read = verified(&[&old, &first.path]).unwrap();
    assert!(read.lines > 5, "{} lines", read.lines);
    // A line that is missing at the end of the first one is still found.
    let text = fs::read_to_string(&old).unwrap();
    let (cut, _) = text.trim_end().rsplit_once('\n').unwrap();
    fs::write(&old, format!("{cut}\n")).unwrap();
    assert_eq!(verified(&[&old, &first.path]).unwrap_err().line, 3);
}

#[test]
fn a_file_that_was_cut_is_continued_in_itself() {
    let ground = Ground::of(2);
    let mut file = ground.open();
    fs::write(&ground.path, "").unwrap();
    file.append(&[entry(2)]).unwrap();
    let read = verified(&[&ground.path]).unwrap();
    assert!(read.continues && read.lines == 2);
}

#[test]
fn lines_that_were_cut_off_while_it_was_written_are_missed() {
    let ground = Ground::of(4);
    let whole = ground.bytes();
    let second = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 1;
    for is_replaced in [false, true] {
        fs::write(&ground.path, &whole).unwrap();
        let mut file = ground.open();
        if is_replaced {
            fs::write(ground.path.with_extension("new"), &whole[..second]).unwrap();
            fs::rename(ground.path.with_extension("new"), &ground.path).unwrap();
        } else {
            File::options().write(true).open(&ground.path).unwrap().set_len(second as u64).unwrap();
        }
        file.append(&[entry(4)]).unwrap();
        let misfit = verified(&[&ground.path]).unwrap_err();
        assert_eq!((misfit.line, misfit.why.contains("lines were cut off")), (3, true), "{misfit}");
    }
}

#[test]
fn two_writers_of_one_file_make_one_chain() {
    let ground = Ground::of(0);
    let (mut one, mut other) = (ground.open(), ground.open());
    for number in 0..5 {
        one.append(&[entry(number)]).unwrap();
        other.append(&[entry(number)]).unwrap();
    }
    assert_eq!(verified(&[&ground.path]).unwrap().lines, 10);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut file = ground.open();
                (0..20).for_each(|number| file.append(&[entry(number)]).unwrap());
            });
        }
    });
    assert_eq!(verified(&[&ground.path]).unwrap().lines, 90);
}

#[test]
fn what_is_no_audit_record_is_not_written_to() {
    let ground = Ground::new();
    fs::write(&ground.path, "root:x:0:0\nbin:x:1:1\n").unwrap();
    assert!(matches!(AuditFile::open(&ground.path), Err(AuditFileError::Foreign(_))));
    for other in ["hello\n", "hello", "{\"a\":1}\n", "\u{7f}ELF\0\0"] {
        fs::write(&ground.path, other).unwrap();
        assert!(matches!(AuditFile::open(&ground.path), Err(AuditFileError::Foreign(_))), "{other}");
        assert_eq!(ground.bytes(), other.as_bytes());
    }
    fs::write(&ground.path, vec![b'x'; 5 << 20]).unwrap();
    assert!(matches!(AuditFile::open(&ground.path), Err(AuditFileError::Foreign(_))));
    let link = ground.path.with_extension("link");
    symlink(&ground.path, &link).unwrap();
    assert!(matches!(AuditFile::open(&link), Err(AuditFileError::Io { .. })));
    let pipe = ground.path.with_extension("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .unwrap();
    assert!(matches!(AuditFile::open(&pipe), Err(AuditFileError::NotAFile(_))));
    assert!(matches!(AuditFile::open(Path::new("/dev/null")), Err(AuditFileError::NotAFile(_))));
    assert!(matches!(AuditFile::open(&ground.path.join("below")), Err(AuditFileError::Io { .. })));
}

#[test]
fn a_long_record_is_opened_by_its_end() {
    let ground = Ground::of(0);
    let mut file = ground.open();
    let many: Vec<_> = (0..2000).map(entry).collect();
    file.append(&many).unwrap();
    ground.open().append(&[entry(1)]).unwrap();
    let mut torn = ground.bytes();
    torn.extend_from_slice(&vec![b'x'; 200_000]);
    fs::write(&ground.path, torn).unwrap();
    ground.open().append(&[entry(2)]).unwrap();
    assert_eq!(verified(&[&ground.path]).unwrap_err().line, 2002, "no line is that long");
}

#[test]
fn a_file_that_was_removed_or_replaced_is_begun_anew_and_the_line_says_why() {
    for is_replaced in [false, true] {
        let ground = Ground::of(2);
        let mut file = ground.open();
        let old = ground.path.with_extension("copy");
        fs::copy(&ground.path, &old).unwrap();
        if is_replaced {
            fs::write(ground.path.with_extension("new"), "").unwrap();
            fs::rename(ground.path.with_extension("new"), &ground.path).unwrap();
        } else {
            fs::remove_file(&ground.path).unwrap();
        }
        file.append(&[entry(2)]).unwrap();
        file.append(&[entry(3)]).unwrap();
        let text = String::from_utf8(ground.bytes()).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().next().unwrap().contains("the file before was removed"), "{text}");
        let alone = verified(&[&ground.path]).unwrap();
        assert!(alone.continues, "it does not pass for a whole record");
        assert_eq!(verified(&[&old, &ground.path]).unwrap().lines, 5, "who kept a copy proves both");
    }
}

#[test]
fn a_file_that_lost_its_name_to_another_is_left_at_once() {
    let ground = Ground::of(2);
    let mut file = ground.open();
    let old = ground.path.with_extension("1");
    fs::rename(&ground.path, &old).unwrap();
    fs::write(&ground.path, "").unwrap();
    file.append(&[entry(2)]).unwrap();
    assert_eq!(verified(&[&old, &ground.path]).unwrap().lines, 4);
    assert!(String::from_utf8(ground.bytes()).unwrap().contains("another file was put in the place"));
    // What is no audit record gets no line.
    fs::rename(&ground.path, ground.path.with_extension("2")).unwrap();
    fs::write(&ground.path, "root:x:0:0\nbin:x:1:1\n").unwrap();
    file.append(&[entry(3)]).unwrap();
    assert_eq!(ground.bytes(), b"root:x:0:0\nbin:x:1:1\n");
    assert_eq!(verified(&[&old, &ground.path.with_extension("2")]).unwrap().lines, 5);
}

#[test]
fn a_file_that_is_gone_is_noticed_without_a_line_to_write() {
    let ground = Ground::of(2);
    let mut file = ground.open();
    file.look(Timestamp(7)).unwrap();
    assert_eq!(verified(&[&ground.path]).unwrap().lines, 2, "nothing happened");
    fs::remove_file(&ground.path).unwrap();
    file.look(Timestamp(7)).unwrap();
    file.look(Timestamp(8)).unwrap();
    let read = verified(&[&ground.path]).unwrap();
    assert!(read.continues && read.lines == 1);
}
