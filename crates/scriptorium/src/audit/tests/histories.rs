//! Histories of trust that rot.

use super::*;
use crate::store::record;

#[tokio::test]
async fn a_damaged_history_is_found_and_repaired() {
    let key = StorageKey::History(registry().digest_of(&release("1.0.0").to_string()));
    let whole = json!({ "release": release("1.0.0").to_string(), "attachments": {} });
    let changes: [fn(&mut Vec<u8>); 4] =
        [|bytes| bytes[3] ^= 1, |bytes| bytes[60] ^= 1, |bytes| bytes.truncate(40), |bytes| bytes.clear()];
    for change in changes {
        let shop = Shop::stocked().await;
        shop.store.write(&key, record::encode(&whole)).await.unwrap();
        assert_eq!(shop.audit(true).await.wrong, 0);
        shop.damage(&key, change);
        for report in [shop.verify().await, shop.audit(false).await] {
            assert!(!Shop::only(&report, FindingKind::History, &key).repaired);
        }
        assert!(Shop::only(&shop.audit(true).await, FindingKind::History, &key).repaired);
        assert!(!shop.file(&key).exists());
        assert_eq!(shop.audit(false).await.wrong, 0);
    }
}
