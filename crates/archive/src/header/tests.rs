//! The strictness with which fields are read.

use super::*;

#[test]
fn a_number_is_accepted_if_all_readers_agree_on_it() {
    for (field, expected) in [
        (&b"0000644\0"[..], Number::Plain(0o644)),
        (b"000644 \0", Number::Plain(0o644)),
        (b"644\0\0\0\0\0", Number::Plain(0o644)),
        (b"0012345 ", Number::Plain(0o12345)),
        (b"012345\0 ", Number::Plain(0o12345)),
        (b"   644 \0", Number::Odd(0o644)),
        (b"77777777", Number::Odd(0o77777777)),
        (b"\0\0\0\0\0\0\0\0", Number::Missing),
        (b"\x80\0\0\0\0\0\x01\0", Number::Binary(256)),
        (b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", Number::Binary(u64::MAX)),
        (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", Number::Broken),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff", Number::Broken),
        (b"+000644\0", Number::Broken),
        (b"-000644\0", Number::Broken),
        (b"0o00644\0", Number::Broken),
        (b"0000648\0", Number::Broken),
        (b"644\x00644\0", Number::Broken),
        (b"644 644\0", Number::Broken),
        (b"\t000644\0", Number::Broken),
        (b"\x00000644\0", Number::Broken),
        (b"        ", Number::Broken),
    ] {
        assert_eq!(number(field), expected, "{:?}", field.escape_ascii().to_string());
    }
}

#[test]
fn only_the_unsigned_checksum_is_valid() {
    let mut block = [0; BLOCK];
    block[..2].copy_from_slice("é".as_bytes());
    for (sum, holds) in
        [(checksum(&block), true), (checksum(&block) - 512, false), (checksum(&block) + 1, false)]
    {
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(Header::read(&block).is_ok(), holds, "{sum}");
        assert_eq!(could_be_header(&block), holds || sum + 512 == checksum(&block));
    }
}
