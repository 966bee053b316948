import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.SdkPojo;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.DescribeStreamRequest;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEvent;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardRequest;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardResponseHandler;

/**
 * Calls the operations it is told to, through the AWS SDK for Java v2: by its sync client with the argument
 * {@code sync}, by its async client with {@code async}. The lines are described in tests/clients/program.py;
 * endpoint and credentials come from AWS's environment variables, trust from the JVM's properties.
 */
public final class Client {
    private static final String MODELS = "software.amazon.awssdk.services.kinesis.model.";
    private static final JsonNode NOTHING = JsonNode.parser().parse("{}");

    private final KinesisAsyncClient async;
    private final KinesisClient sync;

    private Client(boolean async) {
        this.async = async ? KinesisAsyncClient.create() : null;
        this.sync = async ? null : KinesisClient.create();
    }

    public static void main(String[] arguments) throws Exception {
        Client client = new Client(arguments[0].equals("async"));
        ExecutorService threads = Executors.newCachedThreadPool();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonNode request = JsonNode.parser().parse(line);
            threads.execute(() -> client.answer(request));
        }
        // Subscriptions that are still open would keep the process alive.
        System.exit(0);
    }

    private static synchronized void print(JsonNode request, String kind, Object value) {
        int id = Integer.parseInt(request.field("id").orElseThrow().asNumber());
        System.out.println(Documents.json(Map.of("id", id, kind, value)));
        System.out.flush();
    }

    private void answer(JsonNode request) {
        try {
            print(request, "output", call(request));
        } catch (Throwable thrown) {
            Throwable error = thrown;
            while (error.getCause() != null
                    && (error instanceof InvocationTargetException || error instanceof CompletionException)) {
                error = error.getCause();
            }
            String name = error.getClass().getSimpleName(), code = name, message = String.valueOf(error.getMessage());
            if (error instanceof AwsServiceException answered && answered.awsErrorDetails() != null) {
                code = String.valueOf(answered.awsErrorDetails().errorCode());
                message = String.valueOf(answered.awsErrorDetails().errorMessage());
            }
            print(request, "error", Map.of("code", code, "message", message, "class", name));
        }
    }

    private Object call(JsonNode request) throws ReflectiveOperationException {
        String operation = request.field("operation").orElseThrow().asString();
        JsonNode input = request.field("input").orElse(NOTHING);
        if (operation.equals("StreamExists") || operation.equals("StreamNotExists")) {
            return await(operation, (DescribeStreamRequest) build("DescribeStream", input));
        }
        Object typed = build(operation, input);
        if (operation.equals("SubscribeToShard")) {
            return follow(request, (SubscribeToShardRequest) typed);
        }
        String method = Character.toLowerCase(operation.charAt(0)) + operation.substring(1);
        if (async == null) {
            return KinesisClient.class.getMethod(method, typed.getClass()).invoke(sync, typed);
        }
        Object future = KinesisAsyncClient.class.getMethod(method, typed.getClass()).invoke(async, typed);
        return ((CompletableFuture<?>) future).join();
    }

    /** The SDK's request of an operation, made from a document by the request's own builder. */
    private static Object build(String operation, JsonNode input) throws ReflectiveOperationException {
        Class<?> request = Class.forName(MODELS + operation + "Request");
        return Documents.build((SdkPojo) request.getMethod("builder").invoke(null), input);
    }

    private Object follow(JsonNode request, SubscribeToShardRequest typed) {
        SubscribeToShardResponseHandler.Visitor visitor = new SubscribeToShardResponseHandler.Visitor() {
            @Override
            public void visit(SubscribeToShardEvent event) {
                print(request, "event", event);
            }
        };
        // The future carries the error; the handler's own callback would only repeat it.
        SubscribeToShardResponseHandler handler =
                SubscribeToShardResponseHandler.builder().onError(error -> {}).subscriber(visitor).build();
        async.subscribeToShard(typed, handler).join();
        return Map.of();
    }

    private Object await(String waiter, DescribeStreamRequest request) {
        boolean exists = waiter.equals("StreamExists");
        if (async == null) {
            var waiting = sync.waiter();
            Object done = exists ? waiting.waitUntilStreamExists(request) : waiting.waitUntilStreamNotExists(request);
        } else {
            var waiting = async.waiter();
            (exists ? waiting.waitUntilStreamExists(request) : waiting.waitUntilStreamNotExists(request)).join();
        }
        return Map.of();
    }
}
