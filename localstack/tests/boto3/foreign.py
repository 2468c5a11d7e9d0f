"""A network in a cloud that is not ours, so that the rows meet there what they meet here: `moto` begins with an account's default VPC only."""


def network(ec2, region):
    """One VPC with three public and three private subnets, tagged as a cluster's are, and a node."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    first = None
    for role, base in (("elb", 0), ("internal-elb", 128)):
        for number, letter in enumerate("abc"):
            made = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{base + 16 * number}.0/20", AvailabilityZone=f"{region}{letter}")
            subnet = made["Subnet"]["SubnetId"]
            first = first or subnet
            ec2.create_tags(Resources=[subnet], Tags=[{"Key": f"kubernetes.io/role/{role}", "Value": "1"}])
            if role == "elb":
                ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=first)
