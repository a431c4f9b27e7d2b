//! A store that holds what several registries said, and what earlier versions left in it.

use super::*;
use crate::read::place::earlier_place;

#[tokio::test]
async fn what_one_registry_says_contradicts_nothing_of_another() {
    let shop = Shop::stocked().await;
    let elsewhere = Registry::new("internal", "https://internal");
    let mut envelope = envelope(&exact("1.0.0"), 200, &metadata("1.0.0", "available", integrity("other")));
    (envelope.meta.upstream, envelope.meta.origin) = ("internal".into(), "https://internal".into());
    shop.store.write(&place::place(&elsewhere, &exact("1.0.0")), envelope.encode()).await.unwrap();
    let theirs = Pin::of(&elsewhere, &release("1.0.0"), integrity("other"), Timestamp(7));
    Pins::new(shop.store.clone()).admit(theirs, Proof::Proved).await.unwrap();
    shop.seal("1.0.0", "other").await;
    assert_eq!(shop.audit(true).await.findings, []);
    // Nor does it lie where another's belongs.
    shop.store.write(&place(&exact("1.0.0")), envelope.encode()).await.unwrap();
    Shop::only(&shop.audit(false).await, FindingKind::Document, &place(&exact("1.0.0")));
}

#[tokio::test]
async fn what_an_earlier_version_left_is_not_wrong() {
    let shop = Shop::stocked().await;
    let before = envelope(&exact("1.0.0"), 200, &metadata("1.0.0", "available", integrity("other"))).encode();
    shop.store.write(&earlier_place(&exact("1.0.0")), before).await.unwrap();
    assert_eq!(shop.audit(true).await.findings, []);
}
