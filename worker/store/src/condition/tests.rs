use evonic_shared::store_report::StoreState;

use super::*;

fn condition() -> Condition {
    Condition::new(Path::new("/state/evonic.db"), Some(PathBuf::from("/state/database-id")))
}

fn state(condition: &Condition) -> Option<StoreState> {
    condition.report().map(|report| report.state)
}

#[test]
fn what_passes_ends_and_what_lasts_does_not() {
    let condition = condition();
    condition.note(&StoreError::Full);
    assert_eq!(state(&condition), Some(StoreState::DiskFull));
    assert!(condition.lasting().is_none());
    condition.fail(StoreState::Lost, "database /state/evonic.db is gone");
    condition.note(&StoreError::Locked);
    assert_eq!(state(&condition), Some(StoreState::Lost), "a lock is not what matters now");
    condition.end(&[StoreState::Locked, StoreState::DiskFull]);
    assert!(condition.report().is_some());
    assert_eq!(state(&condition), Some(StoreState::Lost));
    condition.end(&[StoreState::Lost]);
    assert_eq!(state(&condition), None);
}

#[test]
fn each_says_which_file_and_what_to_do() {
    for wanted in StoreState::ALL {
        let condition = condition();
        let detail = condition.sentence(wanted, Some("disk I/O error"));
        let StoreError::Unusable(report) = condition.fail(wanted, detail) else { panic!() };
        assert_eq!(report.state, wanted);
        assert!(report.detail.contains("/state/evonic.db"), "{report:?}");
        assert!(!report.advice.is_empty());
    }
    assert!(condition().advice(StoreState::Lost).contains("/state/database-id"));
}

#[test]
fn an_error_of_the_question_says_nothing_of_the_database() {
    let condition = condition();
    for error in [StoreError::Fenced, StoreError::Closed, StoreError::not_found("turn", "x")] {
        let same = condition.explain(error);
        assert!(same.state().is_none(), "{same:?}");
        assert_eq!(state(&condition), None);
    }
}
