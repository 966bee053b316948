import com.google.common.util.concurrent.FutureCallback;
import com.google.common.util.concurrent.Futures;
import com.google.common.util.concurrent.MoreExecutors;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.AtomicBoolean;
import software.amazon.kinesis.producer.KinesisProducer;
import software.amazon.kinesis.producer.KinesisProducerConfiguration;
import software.amazon.kinesis.producer.UserRecordResult;

/**
 * A producer by the Kinesis Producer Library: java Producer STREAM PORT CERTIFICATES MILLISECONDS.
 *
 * <p>It puts five records in each period of MILLISECONDS until its standard input ends, to Tidelog's TLS port on this
 * machine, which serves Kinesis, CloudWatch and STS alike. CERTIFICATES is a hashed directory of OpenSSL.
 *
 * <p>Prints "acknowledged DATA" or "failed DATA REASON" for each record, and "stopped" once all have their answer.
 */
public class Producer {
    private static final int RECORDS_PER_PERIOD = 5;

    public static void main(String[] arguments) throws Exception {
        long port = Long.parseLong(arguments[1]);
        var configuration = new KinesisProducerConfiguration()
                .setRegion(System.getenv("AWS_REGION"))
                .setKinesisEndpoint("localhost").setKinesisPort(port)
                .setCloudwatchEndpoint("localhost").setCloudwatchPort(port)
                .setStsEndpoint("localhost").setStsPort(port)
                .setCaCertPath(arguments[2])
                .setMetricsUploadDelay(2000);
        var producer = new KinesisProducer(configuration);
        var isEnding = new AtomicBoolean();
        Thread input = new Thread(() -> {
            awaitEndOfInput();
            isEnding.set(true);
        });
        input.setDaemon(true);
        input.start();
        for (long number = 0; !isEnding.get(); number++) {
            String data = "kpl-" + number;
            ByteBuffer bytes = ByteBuffer.wrap(data.getBytes(StandardCharsets.UTF_8));
            var future = producer.addUserRecord(arguments[0], data, bytes);
            Futures.addCallback(future, new Answer(data), MoreExecutors.directExecutor());
            if (number % RECORDS_PER_PERIOD == 0) {
                Thread.sleep(Long.parseLong(arguments[3]));
            }
        }
        producer.flushSync();
        producer.destroy();
        print("stopped");
        System.exit(0);
    }

    private static void awaitEndOfInput() {
        try {
            while (System.in.read() >= 0) {
                // Only the end of the input matters.
            }
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }

    private static synchronized void print(String line) {
        System.out.println(line);
    }

    private record Answer(String data) implements FutureCallback<UserRecordResult> {
        @Override
        public void onSuccess(UserRecordResult result) {
            print((result.isSuccessful() ? "acknowledged " : "failed ") + data);
        }

        @Override
        public void onFailure(Throwable failure) {
            print("failed " + data + " " + failure);
        }
    }
}
