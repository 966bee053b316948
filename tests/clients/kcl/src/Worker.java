import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.MetricsLevel;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/**
 * A worker of the Kinesis Client Library 2 or 3: java Worker STREAM APPLICATION [polling] [metrics] [patient].
 *
 * <p>It reads from the oldest record, by fan-out unless it is told to poll, and sends its metrics only with "metrics". Its
 * leases fail over after 3 s, or with "patient" after the 10 s that KCL's makers have set.
 *
 * <p>Prints one line for each event: begin SHARD, record SHARD SEQUENCE DATA, end SHARD, lost SHARD. Endpoint, region and
 * credentials come from the environment (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY). It
 * stops gracefully when its standard input ends, and prints "stopped"; "late" if KCL does not finish within a minute.
 */
public class Worker {
    private static final int GRACEFUL_SECONDS_MAX = 60;

    public static void main(String[] arguments) throws Exception {
        String stream = arguments[0];
        String application = arguments[1];
        List<String> options = List.of(arguments).subList(2, arguments.length);
        KinesisAsyncClient kinesis = KinesisAsyncClient.create();
        var oldest = InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON);
        ConfigsBuilder configs = new ConfigsBuilder(
                new SingleStreamTracker(stream, oldest), application, kinesis, DynamoDbAsyncClient.create(), CloudWatchAsyncClient.create(),
                UUID.randomUUID().toString(), Processor::new);
        var retrieval = configs.retrievalConfig();
        if (options.contains("polling")) {
            retrieval.retrievalSpecificConfig(new PollingConfig(stream, kinesis));
        }
        var leases = configs.leaseManagementConfig().shardSyncIntervalMillis(1000)
                .failoverTimeMillis(options.contains("patient") ? 10_000 : 3000);
        var coordinator = configs.coordinatorConfig().shardConsumerDispatchPollIntervalMillis(200)
                .parentShardPollIntervalMillis(1000);
        var metrics = configs.metricsConfig()
                .metricsLevel(options.contains("metrics") ? MetricsLevel.DETAILED : MetricsLevel.NONE);
        Scheduler scheduler = new Scheduler(
                configs.checkpointConfig(), coordinator, leases, configs.lifecycleConfig(), metrics,
                configs.processorConfig(), retrieval);
        var isStopping = new AtomicBoolean();
        Thread running = new Thread(() -> {
            scheduler.run();
            if (!isStopping.get()) {
                System.err.println("KCL has given up");
                System.exit(1);
            }
        });
        running.start();
        while (System.in.read() >= 0) {
            // Only the end of the input matters.
        }
        isStopping.set(true);
        try {
            scheduler.startGracefulShutdown().get(GRACEFUL_SECONDS_MAX, TimeUnit.SECONDS);
            print("stopped");
        } catch (TimeoutException late) {
            print("late");
            scheduler.shutdown();
        }
        running.join();
        System.exit(0);
    }

    private static synchronized void print(String line) {
        System.out.println(line);
    }

    private static class Processor implements ShardRecordProcessor {
        private String shard;

        @Override
        public void initialize(InitializationInput input) {
            shard = input.shardId();
            print("begin " + shard);
        }

        @Override
        public void processRecords(ProcessRecordsInput input) {
            input.records().forEach(record -> print("record " + shard + " " + record.sequenceNumber() + " "
                    + StandardCharsets.UTF_8.decode(record.data())));
            try {
                input.checkpointer().checkpoint();
            } catch (Exception failed) {
                print("checkpoint failed: " + failed);
            }
        }

        @Override
        public void leaseLost(LeaseLostInput input) {
            print("lost " + shard);
        }

        @Override
        public void shardEnded(ShardEndedInput input) {
            print("end " + shard);
            checkpoint(input.checkpointer());
        }

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {
            checkpoint(input.checkpointer());
        }

        private void checkpoint(software.amazon.kinesis.processor.RecordProcessorCheckpointer checkpointer) {
            try {
                checkpointer.checkpoint();
            } catch (Exception failed) {
                print("checkpoint failed: " + failed);
            }
        }
    }
}
