//! Signature Version 4: only its presence and its credential scope are looked at; nothing is verified.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::query;

/// The service's signing name (`elasticloadbalancing`) from the credential scope `KEY/DATE/REGION/SERVICE/aws4_request` of the
/// `Authorization` header or of a presigned query; `None` if the request is not signed.
pub fn service(headers: &HeaderMap, uri_query: Option<&str>) -> Option<String> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).filter(|value| value.starts_with("AWS4-"));
    let scope = match header {
        Some(value) => value.split("Credential=").nth(1)?.split([',', ' ']).next()?.to_string(),
        None => {
            let query = uri_query?;
            // The older presigned URLs, which S3 alone has.
            if query::parameter(query, "AWSAccessKeyId").is_some() && query::parameter(query, "Signature").is_some() {
                return Some("s3".into());
            }
            query::parameter(query, "X-Amz-Credential")?
        }
    };
    scope.split('/').nth_back(1).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_names_the_service() {
        let mut headers = HeaderMap::new();
        assert_eq!(service(&headers, None), None);
        assert_eq!(service(&headers, Some("X-Amz-Credential=k%2F20260101%2Fus-east-1%2Fec2%2Faws4_request")).as_deref(), Some("ec2"));
        assert_eq!(service(&headers, Some("AWSAccessKeyId=k&Signature=s&Expires=1")).as_deref(), Some("s3"));
        let value = "AWS4-HMAC-SHA256 Credential=a/b/20260101/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0";
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        assert_eq!(service(&headers, None).as_deref(), Some("sts"));
        headers.insert(AUTHORIZATION, "Basic abc".parse().unwrap());
        assert_eq!(service(&headers, None), None);
    }
}
