use super::*;
use k8s_openapi::api::authentication::v1::UserInfo;

fn account() -> ServiceAccount {
    "monitoring/agent".parse().expect("two names")
}

/// What an API server answers for the token of an agent's pod on this node.
fn reviewed(node: &str) -> TokenReviewStatus {
    let extra = [(NODE.to_owned(), vec![node.to_owned()])].into();
    let username = Some("system:serviceaccount:monitoring:agent".to_owned());
    TokenReviewStatus {
        authenticated: Some(true),
        audiences: Some(vec![AUDIENCE.to_owned()]),
        user: Some(UserInfo { username, extra: Some(extra), ..UserInfo::default() }),
        error: None,
    }
}

#[test]
fn the_token_of_an_agent_names_its_node() {
    assert_eq!(node_of(reviewed("node-a"), &account()), Ok("node-a".into()));
}

#[test]
fn a_token_that_the_server_does_not_accept_is_refused() {
    let error = Some("invalid bearer token".to_owned());
    let refused = TokenReviewStatus { authenticated: Some(false), error, ..reviewed("node-a") };
    assert_eq!(node_of(refused, &account()), Err(Refusal::BadToken("invalid bearer token".to_owned())));
    let silent = TokenReviewStatus { authenticated: None, ..reviewed("node-a") };
    assert!(matches!(node_of(silent, &account()), Err(Refusal::BadToken(_))));
}

/// A server that does not support audiences accepts tokens for the API server itself.
#[test]
fn a_token_that_is_not_for_this_audience_is_refused() {
    for audiences in [None, Some(vec![]), Some(vec!["https://kubernetes.default.svc".to_owned()])] {
        let status = TokenReviewStatus { audiences, ..reviewed("node-a") };
        assert!(matches!(node_of(status, &account()), Err(Refusal::BadToken(_))));
    }
}

#[test]
fn another_account_is_refused() {
    let other = "monitoring/agent-2".parse().expect("two names");
    let user = "system:serviceaccount:monitoring:agent".to_owned();
    let expected = "system:serviceaccount:monitoring:agent-2".to_owned();
    assert_eq!(node_of(reviewed("node-a"), &other), Err(Refusal::ForeignAccount { user, expected }));
}

#[test]
fn a_token_that_names_no_node_or_several_is_refused() {
    for extra in [vec![], vec![""], vec!["node-a", "node-b"]] {
        let mut status = reviewed("node-a");
        let values = extra.into_iter().map(str::to_owned).collect();
        status.user.as_mut().expect("there").extra = Some([(NODE.to_owned(), values)].into());
        assert_eq!(node_of(status, &account()), Err(Refusal::NoNode));
    }
    let mut status = reviewed("node-a");
    status.user.as_mut().expect("there").extra = None;
    assert_eq!(node_of(status, &account()), Err(Refusal::NoNode));
}
