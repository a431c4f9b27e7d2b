//! Changes to an archive, each drawn from a seed of its own.
//!
//! Owns the kinds of change and the weight of each. A change may do nothing. A case has several changes, and each can be
//! removed alone.

mod extension;
mod header;
mod names;
mod stream;

use fastrand::Rng;

use crate::block::{BLOCK, is_zero};
use crate::corpus::Base;
use crate::draft::Draft;

type Change = fn(&mut Draft, &mut Rng, &[Base]);

/// How often each change is drawn, and the change.
const CHANGES: &[(u32, Change)] = &[
    (16, header::number),
    (8, header::text),
    (4, header::kind),
    (4, header::dialect),
    (10, header::name),
    (4, header::mode),
    (10, header::ordinary),
    (16, extension::insert),
    (6, extension::edit),
    (3, extension::dirty_padding),
    (6, extension::ordinary),
    (3, stream::reorder),
    (2, stream::duplicate),
    (2, stream::leave_out),
    (2, stream::zeros),
    (3, stream::ending),
    (3, stream::splice),
    (3, stream::smuggle),
    (8, stream::content),
    (4, stream::add),
    (4, stream::flip),
    (6, stream::packing),
];

/// Changes `draft` in the way that `seed` says.
pub(crate) fn change(draft: &mut Draft, seed: u64, bases: &[Base]) {
    let mut rng = Rng::with_seed(seed);
    let all: u32 = CHANGES.iter().map(|(weight, _)| weight).sum();
    let mut drawn = rng.u32(..all);
    for (weight, change) in CHANGES {
        if drawn < *weight {
            return change(draft, &mut rng, bases);
        }
        drawn -= weight;
    }
}

/// The place of a piece that begins with a header, if there is one.
fn any_header(draft: &Draft, rng: &mut Rng) -> Option<usize> {
    let headers: Vec<usize> = (0..draft.pieces.len())
        .filter(|at| draft.pieces[*at].len() >= BLOCK && !is_zero(&draft.pieces[*at][..BLOCK]))
        .collect();
    rng.choice(headers)
}

/// One of some bytes.
fn pick<'a>(rng: &mut Rng, from: &[&'a [u8]]) -> &'a [u8] {
    from[rng.usize(..from.len())]
}
