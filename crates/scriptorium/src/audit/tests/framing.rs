//! Archives that are as they were sealed, and that not every reader unpacks alike.

use ::archive::RECIPE;

use super::*;
use crate::store::sealed;

#[tokio::test]
async fn an_archive_that_readers_unpack_differently_is_packed_anew_where_it_lies() {
    let shop = Shop::stocked().await;
    let ended = tar(&[tree("1.0.0")]);
    let odd = gzip(ended.strip_suffix(&[0; 1024]).unwrap());
    shop.seal_as("1.0.0", integrity("1.0.0"), &odd).await;
    assert_eq!(shop.verify().await.findings, [], "it is as it was written");
    let finding = Shop::only(&shop.audit(false).await, FindingKind::Framing, &archive("1.0.0"));
    assert_eq!(finding.release, Some(release("1.0.0").to_string()));
    let before = fs::read(shop.file(&archive("1.0.0"))).unwrap();
    let report = shop.audit(true).await;
    assert_eq!((report.wrong, report.remaining()), (1, 0));
    assert_ne!(fs::read(shop.file(&archive("1.0.0"))).unwrap(), before);
    assert_eq!(shop.audit(false).await.findings, []);
    let seal = sealed::open(&*shop.store, &archive("1.0.0")).await.unwrap().unwrap();
    assert_eq!((seal.recipe, seal.known_by), (RECIPE, *integrity("1.0.0").digest()));

    shop.seal_as("1.0.0", integrity("1.0.0"), &tar_gz(&[TarMember::file("other", "x")])).await;
    Shop::only(&shop.audit(false).await, FindingKind::Archive, &archive("1.0.0"));
}
