//! Stands in for zlib-ng under flate2 and hands every call to zlib-rs.
//!
//! pingora-core turns on flate2's `zlib-ng` feature, whose C library needs cmake on the machine that
//! builds. flate2 sees here the same names and the same layout. The one difference in types is that
//! zlib-ng's binding declares the allocator callbacks as plain functions where zlib-rs's declares
//! them as `Option`s: both are one pointer, so a stream passes from one to the other unchanged.

use libz_rs_sys as rs;
use std::ffi::{c_char, c_int, c_void};

pub use rs::*;

/// A stream as flate2 fills it in; laid out as [`rs::z_stream`].
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct z_stream {
    pub next_in: *const u8,
    pub avail_in: uInt,
    pub total_in: uLong,
    pub next_out: *mut u8,
    pub avail_out: uInt,
    pub total_out: uLong,
    pub msg: *mut c_char,
    pub state: *mut c_void,
    pub zalloc: alloc_func,
    pub zfree: free_func,
    pub opaque: *mut c_void,
    pub data_type: c_int,
    pub adler: uLong,
    pub reserved: uLong,
}

const _: () = {
    assert!(size_of::<z_stream>() == size_of::<rs::z_stream>());
    assert!(std::mem::offset_of!(z_stream, zalloc) == std::mem::offset_of!(rs::z_stream, zalloc));
    assert!(std::mem::offset_of!(z_stream, adler) == std::mem::offset_of!(rs::z_stream, adler));
};

macro_rules! forward {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        /// # Safety
        /// As for the function of the same name in zlib.
        #[allow(non_snake_case)]
        pub unsafe extern "C" fn $name(strm: *mut z_stream $(, $arg: $ty)*) -> c_int {
            // SAFETY: the caller keeps zlib's contract, and the two stream types have one layout.
            unsafe { rs::$name(strm.cast() $(, $arg)*) }
        }
    )*};
}

forward! {
    deflate(flush: c_int);
    deflateEnd();
    deflateInit2_(level: c_int, method: c_int, window_bits: c_int, mem_level: c_int,
                  strategy: c_int, version: *const c_char, size: c_int);
    deflateParams(level: c_int, strategy: c_int);
    deflateReset();
    deflateSetDictionary(dictionary: *const u8, len: uInt);
    inflate(flush: c_int);
    inflateEnd();
    inflateInit2_(window_bits: c_int, version: *const c_char, size: c_int);
    inflateReset();
    inflateReset2(window_bits: c_int);
    inflateSetDictionary(dictionary: *const u8, len: uInt);
}
