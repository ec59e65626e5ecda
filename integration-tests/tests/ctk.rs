//! The official kit against the real binary, when its files lie beside the checkout.

use std::path::Path;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_kit_passes_offline() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance/open-workflow/ctk");
    if !dir.is_dir() {
        eprintln!("SKIPPED ctk: {} is not there", dir.display());
        return;
    }
    let report = tidemill_integration_tests::ctk::run(&dir).await;
    assert_eq!(report.failed, 0, "{:#?}", report.lines);
    assert!(report.passed >= 13, "{:#?}", report.lines);
}
