//! AWS services whose calls reach a broker by mistake, or that the broker serves in part: their names on the wire, and
//! the variable that gives their clients an endpoint.

/// One service.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::wire) struct Service {
    /// Name in the scope of a credential.
    pub(super) scope: &'static str,
    /// Name before the operation in `X-Amz-Target`; empty where the service has none.
    pub(super) target: &'static str,
    /// Version of the API in forms; empty where the service takes none.
    pub(super) version: &'static str,
    /// Name for readers.
    pub(super) name: &'static str,
    /// Variable that SDKs read the endpoint of the service from.
    pub(super) variable: &'static str,
    /// Operations of the service that the broker serves.
    pub(super) served: &'static str,
    /// Namespace of the service's answers in XML.
    pub(super) namespace: &'static str,
}

const fn absent(
    scope: &'static str,
    target: &'static str,
    version: &'static str,
    name: &'static str,
    variable: &'static str,
) -> Service {
    Service { scope, target, version, name, variable, served: "", namespace: "" }
}

/// CloudWatch, of which the broker takes metrics.
pub(super) const METRICS: Service = Service {
    served: "PutMetricData",
    namespace: "http://monitoring.amazonaws.com/doc/2010-08-01/",
    ..absent(
        "monitoring",
        "GraniteServiceVersion20100801",
        "2010-08-01",
        "CloudWatch",
        "AWS_ENDPOINT_URL_CLOUDWATCH",
    )
};

/// STS, which tells callers their account.
pub(super) const STS: Service = Service {
    served: "GetCallerIdentity",
    namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
    ..absent("sts", "", "2011-06-15", "STS", "AWS_ENDPOINT_URL_STS")
};

/// A service of which nothing is known.
pub(super) const OTHER: Service = absent("", "", "", "this service", "AWS_ENDPOINT_URL_<SERVICE>");

const SERVICES: [Service; 24] = [
    METRICS,
    STS,
    absent("dynamodb", "DynamoDB_20120810", "", "DynamoDB", "AWS_ENDPOINT_URL_DYNAMODB"),
    absent("", "DynamoDBStreams_20120810", "", "DynamoDB Streams", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"),
    absent("sqs", "AmazonSQS", "2012-11-05", "SQS", "AWS_ENDPOINT_URL_SQS"),
    absent("sns", "", "2010-03-31", "SNS", "AWS_ENDPOINT_URL_SNS"),
    absent("s3", "", "", "S3", "AWS_ENDPOINT_URL_S3"),
    absent("firehose", "Firehose_20150804", "", "Firehose", "AWS_ENDPOINT_URL_FIREHOSE"),
    absent(
        "kinesisanalytics",
        "KinesisAnalytics_20180523",
        "",
        "Managed Service for Apache Flink",
        "AWS_ENDPOINT_URL_KINESIS_ANALYTICS_V2",
    ),
    absent("kinesisvideo", "", "", "Kinesis Video Streams", "AWS_ENDPOINT_URL_KINESIS_VIDEO"),
    absent("logs", "Logs_20140328", "", "CloudWatch Logs", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"),
    absent("events", "AWSEvents", "", "EventBridge", "AWS_ENDPOINT_URL_EVENTBRIDGE"),
    absent("lambda", "", "", "Lambda", "AWS_ENDPOINT_URL_LAMBDA"),
    absent("states", "AWSStepFunctions", "", "Step Functions", "AWS_ENDPOINT_URL_SFN"),
    absent("glue", "AWSGlue", "", "Glue", "AWS_ENDPOINT_URL_GLUE"),
    absent("kms", "TrentService", "", "KMS", "AWS_ENDPOINT_URL_KMS"),
    absent("ssm", "AmazonSSM", "", "Systems Manager", "AWS_ENDPOINT_URL_SSM"),
    absent("secretsmanager", "secretsmanager", "", "Secrets Manager", "AWS_ENDPOINT_URL_SECRETS_MANAGER"),
    absent("iam", "", "2010-05-08", "IAM", "AWS_ENDPOINT_URL_IAM"),
    absent("ec2", "", "2016-11-15", "EC2", "AWS_ENDPOINT_URL_EC2"),
    absent("cloudformation", "", "2010-05-15", "CloudFormation", "AWS_ENDPOINT_URL_CLOUDFORMATION"),
    absent("autoscaling", "", "2011-01-01", "Auto Scaling", "AWS_ENDPOINT_URL_AUTO_SCALING"),
    absent(
        "application-autoscaling",
        "AnyScaleFrontendService",
        "",
        "Application Auto Scaling",
        "AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING",
    ),
    absent(
        "tagging",
        "ResourceGroupsTaggingAPI_20170126",
        "",
        "the tagging API",
        "AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API",
    ),
];

static KNOWN: [Service; SERVICES.len()] = SERVICES;

/// The service of a credential's scope.
pub(super) fn by_scope(scope: &str) -> Option<&'static Service> {
    KNOWN.iter().find(|service| !scope.is_empty() && service.scope == scope)
}

/// The service of a target.
pub(super) fn by_target(target: &str) -> Option<&'static Service> {
    KNOWN.iter().find(|service| !target.is_empty() && service.target == target)
}

/// The service of a form.
pub(super) fn by_version(version: &str) -> Option<&'static Service> {
    KNOWN.iter().find(|service| !version.is_empty() && service.version == version)
}
