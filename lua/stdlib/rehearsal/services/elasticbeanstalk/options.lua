--- The configuration options of an environment and their defaults, by
--- namespace, as listed in the developer guide ("General options for all
--- environments"); true = the option has no default.
local M = {}

M.defaults = {
  ["aws:autoscaling:asg"] = { ["Availability Zones"] = "Any", Cooldown = "360", ["Custom Availability Zones"] = true,
    EnableCapacityRebalancing = "false",
    MaxSize = "4", MinSize = "1" },
  ["aws:autoscaling:launchconfiguration"] = { EC2KeyName = true, IamInstanceProfile = true, ImageId = true, InstanceType = true,
    MonitoringInterval = "5 minute",
    SecurityGroups = true, SSHSourceRestriction = "tcp,22,22,0.0.0.0/0", BlockDeviceMappings = true, RootVolumeType = true, RootVolumeSize = true,
    RootVolumeIOPS = true, RootVolumeThroughput = true, DisableIMDSv1 = "true", DisableDefaultEC2SecurityGroup = "false",
      LaunchTemplateTagPropagationEnabled = "false" },
  ["aws:autoscaling:trigger"] = { BreachDuration = "5", LowerBreachScaleIncrement = "-1", LowerThreshold = "2000000", MeasureName = "NetworkOut",
    Period = "5",
    EvaluationPeriods = "1", Statistic = "Average", Unit = "Bytes", UpperBreachScaleIncrement = "1", UpperThreshold = "6000000" },
  ["aws:autoscaling:updatepolicy:rollingupdate"] = { MaxBatchSize = true, MinInstancesInService = true, PauseTime = true,
    RollingUpdateEnabled = "false",
    RollingUpdateType = "Time", Timeout = "PT30M" },
  ["aws:ec2:instances"] = { EnableSpot = "false", InstanceTypes = true, SpotFleetOnDemandBase = "0", SpotFleetOnDemandAboveBasePercentage = "0",
    SpotMaxPrice = true, SpotAllocationStrategy = "capacity-optimized", SupportedArchitectures = "x86_64" },
  ["aws:ec2:vpc"] = { VPCId = true, Subnets = true, ELBSubnets = true, ELBScheme = "public", DBSubnets = true, AssociatePublicIpAddress = true },
  ["aws:elasticbeanstalk:application"] = { ["Application Healthcheck URL"] = "" },
  ["aws:elasticbeanstalk:cloudwatch:logs"] = { StreamLogs = "false", DeleteOnTerminate = "false", RetentionInDays = "7" },
  ["aws:elasticbeanstalk:cloudwatch:logs:health"] = { HealthStreamingEnabled = "false", DeleteOnTerminate = "false", RetentionInDays = "7" },
  ["aws:elasticbeanstalk:command"] = { DeploymentPolicy = "AllAtOnce", Timeout = "600", BatchSizeType = "Percentage", BatchSize = "100",
    IgnoreHealthCheck = "false" },
  ["aws:elasticbeanstalk:environment"] = { EnvironmentType = "LoadBalanced", ServiceRole = true, LoadBalancerType = "classic",
    LoadBalancerIsShared = "false",
    ExternalExtensionsS3Bucket = true, ExternalExtensionsS3Key = true },
  ["aws:elasticbeanstalk:environment:process:default"] = { DeregistrationDelay = "20", HealthCheckInterval = "15", HealthCheckPath = "/",
    HealthCheckTimeout = "5",
    HealthyThresholdCount = "3", UnhealthyThresholdCount = "5", MatcherHTTPCode = "200", Port = "80", Protocol = "HTTP", StickinessEnabled = "false",
    StickinessLBCookieDuration = "86400", StickinessType = "lb_cookie" },
  ["aws:elasticbeanstalk:environment:proxy"] = { ProxyServer = "nginx" },
  ["aws:elasticbeanstalk:environment:proxy:staticfiles"] = {},
  ["aws:elasticbeanstalk:healthreporting:system"] = { SystemType = "enhanced", ConfigDocument = true, EnhancedHealthAuthEnabled = "true",
    HealthCheckSuccessThreshold = "Ok" },
  ["aws:elasticbeanstalk:hostmanager"] = { LogPublicationControl = "false" },
  ["aws:elasticbeanstalk:managedactions"] = { ManagedActionsEnabled = "false", PreferredStartTime = true, ServiceRoleForManagedUpdates = true },
  ["aws:elasticbeanstalk:managedactions:platformupdate"] = { UpdateLevel = true, InstanceRefreshEnabled = "false" },
  ["aws:elasticbeanstalk:monitoring"] = { ["Automatically Terminate Unhealthy Instances"] = "true" },
  ["aws:elasticbeanstalk:sns:topics"] = { ["Notification Endpoint"] = true, ["Notification Protocol"] = "email", ["Notification Topic ARN"] = true,
    ["Notification Topic Name"] = true },
  ["aws:elasticbeanstalk:trafficsplitting"] = { NewVersionPercent = "10", EvaluationTime = "5" },
  ["aws:elasticbeanstalk:xray"] = { XRayEnabled = "false" },
  ["aws:elasticbeanstalk:control"] = { DefaultSSHPort = "22", LaunchTimeout = "0", LaunchType = "Migration", RollbackLaunchOnFailure = "false" },
  ["aws:elb:healthcheck"] = { HealthyThreshold = "3", Interval = "10", Timeout = "5", UnhealthyThreshold = "5" },
  ["aws:elb:loadbalancer"] = { CrossZone = "false", SecurityGroups = true, ManagedSecurityGroup = true, LoadBalancerHTTPPort = "80",
    LoadBalancerHTTPSPort = "OFF",
    LoadBalancerPortProtocol = "HTTP", LoadBalancerSSLPortProtocol = "HTTPS", SSLCertificateId = true },
  ["aws:elb:policies"] = { ConnectionDrainingEnabled = "false", ConnectionDrainingTimeout = "20", ConnectionSettingIdleTimeout = "60",
    LoadBalancerPorts = ":all",
    ["Stickiness Policy"] = "false", ["Stickiness Cookie Expiration"] = "0" },
  ["aws:elbv2:loadbalancer"] = { AccessLogsS3Bucket = true, AccessLogsS3Enabled = "false", AccessLogsS3Prefix = true, IdleTimeout = true,
    ManagedSecurityGroup = true,
    SecurityGroups = true, SharedLoadBalancer = true, IpAddressType = "ipv4" },
  ["aws:elbv2:listener:default"] = { DefaultProcess = "default", ListenerEnabled = "true", Protocol = "HTTP", Rules = "", SSLCertificateArns = true,
    SSLPolicy = true },
  ["aws:rds:dbinstance"] = { DBAllocatedStorage = "5", DBDeletionPolicy = "Delete", DBEngine = "mysql", DBEngineVersion = true,
    DBInstanceClass = true, DBPassword = true,
    DBSnapshotIdentifier = true, DBUser = "ebroot", MultiAZDatabase = "false", HasCoupledDatabase = "false" },
}

--- Namespaces whose options the user names.
M.free = {
  ["aws:elasticbeanstalk:application:environment"] = true, ["aws:elasticbeanstalk:application:environmentsecrets"] = true,
  ["aws:elasticbeanstalk:environment:proxy:staticfiles"] = true, ["aws:cloudformation:template:parameter"] = true,
}

--- Namespaces that exist once per name: a listener per port, a process per name.
M.families = {
  { "^aws:elbv2:listener:", "aws:elbv2:listener:default" }, { "^aws:elbv2:listenerrule:" }, { "^aws:elb:listener" }, { "^aws:elb:policies:" },
  { "^aws:elasticbeanstalk:environment:process:", "aws:elasticbeanstalk:environment:process:default" }, { "^aws:autoscaling:scheduledaction$" },
  { "^aws:elasticbeanstalk:sqsd$" },
}

--- What an option may be.
M.values = {
  ["aws:elasticbeanstalk:environment"] = { EnvironmentType = { "LoadBalanced", "SingleInstance" }, LoadBalancerType = { "classic", "application",
    "network" } },
  ["aws:elasticbeanstalk:healthreporting:system"] = { SystemType = { "basic", "enhanced" } },
  ["aws:elasticbeanstalk:command"] = { DeploymentPolicy = { "AllAtOnce", "Rolling", "RollingWithAdditionalBatch", "Immutable", "TrafficSplitting" } },
  ["aws:ec2:vpc"] = { AssociatePublicIpAddress = { "true", "false" }, ELBScheme = { "public", "internal" } },
  ["aws:elasticbeanstalk:cloudwatch:logs"] = { StreamLogs = { "true", "false" }, DeleteOnTerminate = { "true", "false" } },
}

return M
