import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.io.JsonEncoder;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Apache Avro and Kafka's own client, with the schemas of a registry: what any Java program does.
 *
 * <pre>
 * decode REGISTRY                          values in hex on stdin, as Avro's JSON on stdout
 * encode REGISTRY SUBJECT SCHEMA           the other way round; registers the schema
 * consume REGISTRY BROKER TOPIC COUNT      that many records, each as {"key": .., "value": ..}
 * produce REGISTRY BROKER TOPIC SCHEMA KEY a record for each value on stdin, keyed by that field
 * </pre>
 */
public final class Wire {
  private static final ObjectMapper JSON = new ObjectMapper();
  private final HttpClient http = HttpClient.newHttpClient();
  private final Map<Integer, Schema> schemas = new HashMap<>();
  private final String registry;

  private Wire(String registry) {
    this.registry = registry;
  }

  public static void main(String[] words) throws Exception {
    Wire wire = new Wire(words[1]);
    switch (words[0]) {
      case "decode" -> {
        for (String line : lines()) {
          System.out.println(wire.decode(HexFormat.of().parseHex(line)));
        }
      }
      case "encode" -> {
        Schema schema = new Schema.Parser().parse(words[3]);
        int id = wire.register(words[2], schema);
        for (String line : lines()) {
          System.out.println(HexFormat.of().formatHex(encode(id, schema, line)));
        }
      }
      case "consume" -> wire.consume(words[2], words[3], Integer.parseInt(words[4]));
      case "produce" -> wire.produce(words[2], words[3], words[4], words[5]);
      default -> throw new IllegalArgumentException(words[0]);
    }
  }

  private void consume(String broker, String topic, int count) throws Exception {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", broker);
    settings.put("isolation.level", "read_committed");
    settings.put("auto.offset.reset", "earliest");
    try (var consumer =
        new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
      List<TopicPartition> all = new ArrayList<>();
      consumer.partitionsFor(topic).forEach(p -> all.add(new TopicPartition(topic, p.partition())));
      consumer.assign(all);
      consumer.seekToBeginning(all);
      for (int left = count; left > 0; ) {
        for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
          String key = JSON.writeValueAsString(record.key());
          String value = decode(record.value());
          System.out.println("{\"key\":" + key + ",\"value\":" + value + "}");
          left--;
        }
      }
    }
  }

  private void produce(String broker, String topic, String text, String field) throws Exception {
    Schema schema = new Schema.Parser().parse(text);
    int id = register(topic + "-value", schema);
    Properties settings = new Properties();
    settings.put("bootstrap.servers", broker);
    try (var producer =
        new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
      for (String line : lines()) {
        String key = JSON.readTree(line).get(field).asText();
        producer.send(new ProducerRecord<>(topic, key, encode(id, schema, line))).get();
      }
    }
  }

  private String decode(byte[] value) throws Exception {
    ByteBuffer buffer = ByteBuffer.wrap(value);
    if (buffer.get() != 0) {
      throw new IOException("expected byte 0 first");
    }
    Schema schema = schema(buffer.getInt());
    var binary = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, null);
    Object datum = new GenericDatumReader<>(schema).read(null, binary);
    if (!binary.isEnd()) {
      throw new IOException("expected no bytes behind the value");
    }
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    JsonEncoder json = EncoderFactory.get().jsonEncoder(schema, out, false);
    new GenericDatumWriter<>(schema).write(datum, json);
    json.flush();
    return out.toString(StandardCharsets.UTF_8);
  }

  private static byte[] encode(int id, Schema schema, String line) throws IOException {
    var json = DecoderFactory.get().jsonDecoder(schema, line);
    Object datum = new GenericDatumReader<>(schema).read(null, json);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.write(ByteBuffer.allocate(5).put((byte) 0).putInt(id).array());
    BinaryEncoder binary = EncoderFactory.get().binaryEncoder(out, null);
    new GenericDatumWriter<>(schema).write(datum, binary);
    binary.flush();
    return out.toByteArray();
  }

  private Schema schema(int id) throws Exception {
    if (!schemas.containsKey(id)) {
      String text = ask(HttpRequest.newBuilder(at("/schemas/ids/" + id))).get("schema").asText();
      schemas.put(id, new Schema.Parser().parse(text));
    }
    return schemas.get(id);
  }

  private int register(String subject, Schema schema) throws Exception {
    String name = URLEncoder.encode(subject, StandardCharsets.UTF_8);
    String body = JSON.writeValueAsString(Map.of("schema", schema.toString()));
    return ask(HttpRequest.newBuilder(at("/subjects/" + name + "/versions"))
            .header("Content-Type", "application/vnd.schemaregistry.v1+json")
            .POST(HttpRequest.BodyPublishers.ofString(body)))
        .get("id")
        .asInt();
  }

  private JsonNode ask(HttpRequest.Builder request) throws Exception {
    HttpResponse<String> answer =
        http.send(request.build(), HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8));
    if (answer.statusCode() != 200) {
      throw new IOException(answer.statusCode() + ": " + answer.body());
    }
    return JSON.readTree(answer.body());
  }

  private URI at(String path) {
    return URI.create(registry + path);
  }

  private static List<String> lines() {
    var in = new InputStreamReader(System.in, StandardCharsets.UTF_8);
    return new BufferedReader(in).lines().toList();
  }
}
