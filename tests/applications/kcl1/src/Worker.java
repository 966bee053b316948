import com.amazonaws.auth.EnvironmentVariableCredentialsProvider;
import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.services.cloudwatch.AmazonCloudWatchClientBuilder;
import com.amazonaws.services.kinesis.clientlibrary.interfaces.IRecordProcessorCheckpointer;
import com.amazonaws.services.kinesis.clientlibrary.interfaces.v2.IRecordProcessor;
import com.amazonaws.services.kinesis.clientlibrary.interfaces.v2.IShutdownNotificationAware;
import com.amazonaws.services.kinesis.clientlibrary.lib.worker.InitialPositionInStream;
import com.amazonaws.services.kinesis.clientlibrary.lib.worker.KinesisClientLibConfiguration;
import com.amazonaws.services.kinesis.clientlibrary.lib.worker.ShutdownReason;
import com.amazonaws.services.kinesis.clientlibrary.types.InitializationInput;
import com.amazonaws.services.kinesis.clientlibrary.types.ProcessRecordsInput;
import com.amazonaws.services.kinesis.clientlibrary.types.ShutdownInput;
import java.nio.charset.StandardCharsets;
import java.util.UUID;

/**
 * A worker of the Kinesis Client Library 1: java Worker STREAM APPLICATION ENDPOINT [TABLES].
 *
 * <p>ENDPOINT serves Kinesis and CloudWatch, and TABLES the lease tables: ENDPOINT unless it is given. KCL 1 takes
 * region and credentials from the environment, and no endpoint.
 *
 * <p>Prints one line for each event: begin SHARD, record SHARD SEQUENCE DATA, end SHARD, lost SHARD. It stops gracefully
 * when its standard input ends.
 */
public class Worker {
    public static void main(String[] arguments) throws Exception {
        String endpoint = arguments[2];
        String tables = arguments.length > 3 ? arguments[3] : endpoint;
        String region = System.getenv("AWS_REGION");
        var configuration = new KinesisClientLibConfiguration(
                arguments[1], arguments[0], new EnvironmentVariableCredentialsProvider(), UUID.randomUUID().toString())
                .withInitialPositionInStream(InitialPositionInStream.TRIM_HORIZON)
                .withKinesisEndpoint(endpoint).withDynamoDBEndpoint(tables).withRegionName(region)
                .withShardSyncIntervalMillis(1000).withParentShardPollIntervalMillis(1000)
                .withIdleTimeBetweenReadsInMillis(300);
        var cloudWatch = AmazonCloudWatchClientBuilder.standard()
                .withEndpointConfiguration(new EndpointConfiguration(endpoint, region)).build();
        var worker = new com.amazonaws.services.kinesis.clientlibrary.lib.worker.Worker.Builder()
                .recordProcessorFactory((com.amazonaws.services.kinesis.clientlibrary.interfaces.v2.IRecordProcessorFactory)
                        Processor::new)
                .config(configuration).cloudWatchClient(cloudWatch).build();
        Thread running = new Thread(worker);
        running.start();
        while (System.in.read() >= 0) {
            // Only the end of the input matters.
        }
        worker.startGracefulShutdown().get();
        running.join();
        print("stopped");
        System.exit(0);
    }

    private static synchronized void print(String line) {
        System.out.println(line);
    }

    private static class Processor implements IRecordProcessor, IShutdownNotificationAware {
        private String shard;

        @Override
        public void initialize(InitializationInput input) {
            shard = input.getShardId();
            print("begin " + shard);
        }

        @Override
        public void processRecords(ProcessRecordsInput input) {
            input.getRecords().forEach(record -> print("record " + shard + " " + record.getSequenceNumber() + " "
                    + StandardCharsets.UTF_8.decode(record.getData())));
            checkpoint(input.getCheckpointer());
        }

        @Override
        public void shutdown(ShutdownInput input) {
            if (input.getShutdownReason() == ShutdownReason.TERMINATE) {
                print("end " + shard);
                checkpoint(input.getCheckpointer());
            } else {
                print("lost " + shard);
            }
        }

        @Override
        public void shutdownRequested(IRecordProcessorCheckpointer checkpointer) {
            checkpoint(checkpointer);
        }

        private void checkpoint(IRecordProcessorCheckpointer checkpointer) {
            try {
                checkpointer.checkpoint();
            } catch (Exception failed) {
                print("checkpoint failed: " + failed);
            }
        }
    }
}
