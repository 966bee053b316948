import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kinesis.source.KinesisStreamsSource;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * A job of Flink, in this process alone, that reads a stream from its oldest record: java Job STREAM-ARN ENDPOINT.
 *
 * <p>Prints "record - - DATA" for each record. It runs until it is killed.
 */
public class Job {
    public static void main(String[] arguments) throws Exception {
        Configuration configuration = new Configuration();
        configuration.setString("aws.region", "us-east-1");
        configuration.setString("aws.endpoint", arguments[1]);
        configuration.setString("aws.credentials.provider", "ENV_VAR");
        configuration.setString("source.init.position", "TRIM_HORIZON");
        var source = KinesisStreamsSource.<String>builder()
                .setStreamArn(arguments[0]).setSourceConfig(configuration)
                .setDeserializationSchema(new SimpleStringSchema()).build();
        var environment = StreamExecutionEnvironment.getExecutionEnvironment();
        environment.setParallelism(1);
        environment.fromSource(source, WatermarkStrategy.noWatermarks(), "stream")
                .map(data -> "record - - " + data).returns(String.class).print();
        environment.execute();
    }
}
