//! The ACL APIs. There is no authorizer yet, and clients learn it the way Apache Kafka says it: SECURITY_DISABLED.

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::create_acls::{AclCreationResult, CreateAclsRequest, CreateAclsResponse};
use watershed_protocol::messages::delete_acls::{DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse};
use watershed_protocol::messages::describe_acls::{DescribeAclsRequest, DescribeAclsResponse};

use super::Call;

const MESSAGE: &str = "No Authorizer is configured.";

pub(super) async fn describe(_: &Call<'_>, _: DescribeAclsRequest) -> DescribeAclsResponse {
    DescribeAclsResponse {
        error_code: ErrorCode::SecurityDisabled.into(),
        error_message: Some(MESSAGE.to_owned()),
        ..Default::default()
    }
}

pub(super) async fn create(_: &Call<'_>, request: CreateAclsRequest) -> CreateAclsResponse {
    let refused =
        AclCreationResult { error_code: ErrorCode::SecurityDisabled.into(), error_message: Some(MESSAGE.to_owned()) };
    CreateAclsResponse { results: vec![refused; request.creations.len()], ..Default::default() }
}

pub(super) async fn delete(_: &Call<'_>, request: DeleteAclsRequest) -> DeleteAclsResponse {
    let refused = DeleteAclsFilterResult {
        error_code: ErrorCode::SecurityDisabled.into(),
        error_message: Some(MESSAGE.to_owned()),
        matching_acls: Vec::new(),
    };
    DeleteAclsResponse { filter_results: vec![refused; request.filters.len()], ..Default::default() }
}
