package bench;

import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The three jobs of the benchmark as Kafka Streams has them, exactly once.
 *
 * <p>One argument: a file of properties. Those that start with "bench." say what is done, the
 * others are Kafka's. Prints "ready", the clock and the CPU time used so far, both in nanoseconds,
 * when it begins to read; ends when its standard input does.
 */
public final class Jobs {
    private static final Duration MINUTE = Duration.ofMinutes(1);

    private final Properties given;
    private final FramedAvro events;
    private final Schema outputSchema;
    private final FramedAvro output;

    private Jobs(Properties given) {
        this.given = given;
        events = serde("events");
        outputSchema = schema("output");
        output = serde("output");
    }

    public static void main(String[] arguments) throws Exception {
        Properties given = new Properties();
        try (InputStream file = new FileInputStream(arguments[0])) {
            given.load(file);
        }
        new Jobs(given).run();
    }

    private void run() throws InterruptedException, IOException {
        StreamsBuilder builder = new StreamsBuilder();
        Serde<String> keys = Serdes.String();
        KStream<String, GenericRecord> positions =
                builder.stream(text("events.topic"), Consumed.with(keys, events));
        switch (text("job")) {
            case "filter" -> filter(positions);
            case "join" -> join(builder, positions);
            case "window" -> window(positions);
            default -> throw new IllegalArgumentException("no job is called " + text("job"));
        }

        Properties settings = new Properties();
        given.forEach(
                (name, value) -> {
                    if (!name.toString().startsWith("bench.")) {
                        settings.put(name, value);
                    }
                });
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");

        CountDownLatch ended = new CountDownLatch(1);
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setStateListener(
                (now, before) -> {
                    if (now == KafkaStreams.State.RUNNING) {
                        ready();
                    } else if (now == KafkaStreams.State.ERROR) {
                        ended.countDown();
                    }
                });
        streams.setUncaughtExceptionHandler(
                error -> {
                    error.printStackTrace();
                    return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
                });
        Thread input = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    continue;
                }
            } catch (IOException error) {
                error.printStackTrace();
            }
            ended.countDown();
        });
        input.setDaemon(true);
        input.start();
        streams.start();
        ended.await();
        boolean failed = streams.state() == KafkaStreams.State.ERROR;
        streams.close(Duration.ofSeconds(10));
        System.exit(failed ? 1 : 0);
    }

    private static void ready() {
        var machine = (com.sun.management.OperatingSystemMXBean)
                ManagementFactory.getOperatingSystemMXBean();
        System.out.println("ready " + System.nanoTime() + " " + machine.getProcessCpuTime());
    }

    /** About half of the events pass, with half of their fields. */
    private void filter(KStream<String, GenericRecord> positions) {
        int speed = schema("events").getField("speed_kmh").pos();
        positions
                .filter((key, position) -> (double) position.get(speed) > 50)
                .mapValues(this::project)
                .to(text("output.topic"), Produced.with(Serdes.String(), output));
    }

    /** Each event gets the columns of its driver. */
    private void join(StreamsBuilder builder, KStream<String, GenericRecord> positions) {
        GlobalKTable<Long, GenericRecord> drivers =
                builder.globalTable(
                        text("table.topic"), Consumed.with(Serdes.Long(), serde("table")));
        int driver = schema("events").getField("driver_id").pos();
        positions
                .join(drivers, (key, position) -> (long) position.get(driver), this::joined)
                .to(text("output.topic"), Produced.with(Serdes.String(), output));
    }

    /** Count and mean for each key and minute. */
    private void window(KStream<String, GenericRecord> positions) {
        int speed = schema("events").getField("speed_kmh").pos();
        Schema sums = SchemaBuilder.record("Sums").fields()
                .requiredLong("count").requiredDouble("sum").endRecord();
        positions
                .groupByKey(Grouped.with(Serdes.String(), events))
                .windowedBy(TimeWindows.ofSizeAndGrace(MINUTE, Duration.ofSeconds(10)))
                .aggregate(
                        () -> {
                            GenericRecord none = new GenericData.Record(sums);
                            none.put(0, 0L);
                            none.put(1, 0.0);
                            return none;
                        },
                        (key, position, before) -> {
                            GenericRecord after = new GenericData.Record(sums);
                            after.put(0, (long) before.get(0) + 1);
                            after.put(1, (double) before.get(1) + (double) position.get(speed));
                            return after;
                        },
                        Materialized.<String, GenericRecord, WindowStore<Bytes, byte[]>>with(
                                Serdes.String(), new FramedAvro(0, sums)))
                .toStream()
                .map((window, total) -> {
                    GenericRecord made = new GenericData.Record(outputSchema);
                    long count = (long) total.get(0);
                    for (Schema.Field field : outputSchema.getFields()) {
                        made.put(field.pos(), switch (field.name()) {
                            case "bus_id" -> window.key();
                            case "window_start" -> window.window().start();
                            case "window_end" -> window.window().end();
                            case "readings" -> count;
                            case "speed_kmh" -> (double) total.get(1) / count;
                            default -> throw new IllegalStateException(field.name());
                        });
                    }
                    return KeyValue.pair(window, made);
                })
                .to(
                        text("output.topic"),
                        Produced.with(
                                WindowedSerdes.timeWindowedSerdeFrom(String.class, MINUTE.toMillis()),
                                output));
    }

    private GenericRecord project(GenericRecord position) {
        GenericRecord made = new GenericData.Record(outputSchema);
        for (Schema.Field field : outputSchema.getFields()) {
            made.put(field.pos(), position.get(field.name()));
        }
        return made;
    }

    private GenericRecord joined(GenericRecord position, GenericRecord driver) {
        GenericRecord made = new GenericData.Record(outputSchema);
        for (Schema.Field field : outputSchema.getFields()) {
            Schema.Field of = position.getSchema().getField(field.name());
            made.put(field.pos(), of != null ? position.get(of.pos()) : driver.get(field.name()));
        }
        return made;
    }

    private FramedAvro serde(String of) {
        return new FramedAvro(Integer.parseInt(text(of + ".id")), schema(of));
    }

    private Schema schema(String of) {
        return new Schema.Parser().parse(text(of + ".schema"));
    }

    private String text(String name) {
        String value = given.getProperty("bench." + name);
        if (value == null) {
            throw new IllegalArgumentException("bench." + name + " is missing");
        }
        return value;
    }
}
