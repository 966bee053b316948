import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.impl.DefaultCamelContext;

/**
 * A route of Camel that reads a stream from its oldest record: java Route STREAM ENDPOINT.
 *
 * <p>Prints "record SHARD SEQUENCE DATA" for each record. It runs until it is killed. Credentials come from the
 * environment.
 */
public class Route {
    public static void main(String[] arguments) throws Exception {
        String source = "aws2-kinesis://" + arguments[0] + "?useDefaultCredentialsProvider=true&region=us-east-1"
                + "&overrideEndpoint=true&uriEndpointOverride=" + arguments[1]
                + "&iteratorType=TRIM_HORIZON&maxResultsPerRequest=100&shardClosed=silent&shardMonitorInterval=1000";
        var camel = new DefaultCamelContext();
        camel.addRoutes(new RouteBuilder() {
            @Override
            public void configure() {
                from(source).process(exchange -> System.out.println("record "
                        + exchange.getIn().getHeader("CamelAwsKinesisShardId") + " "
                        + exchange.getIn().getHeader("CamelAwsKinesisSequenceNumber") + " "
                        + exchange.getIn().getBody(String.class)));
            }
        });
        camel.start();
        Thread.currentThread().join();
    }
}
