package bench;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;

/**
 * Generic records behind Confluent's five bytes, with the writer's schema already known.
 *
 * <p>What a registry's client does beyond that is a look into a map for each record: left out, in
 * favour of Kafka Streams. Encoders and decoders are reused, as there.
 */
final class FramedAvro implements Serde<GenericRecord> {
    private static final int HEAD = 5;

    private final int id;
    private final Schema schema;

    FramedAvro(int id, Schema schema) {
        this.id = id;
        this.schema = schema;
    }

    @Override
    public Serializer<GenericRecord> serializer() {
        GenericDatumWriter<GenericRecord> writer = new GenericDatumWriter<>(schema);
        ByteArrayOutputStream out = new ByteArrayOutputStream(256);
        byte[] head = ByteBuffer.allocate(HEAD).put((byte) 0).putInt(id).array();
        BinaryEncoder[] encoder = {null};
        return (topic, record) -> {
            if (record == null) {
                return null;
            }
            try {
                out.reset();
                out.write(head);
                encoder[0] = EncoderFactory.get().directBinaryEncoder(out, encoder[0]);
                writer.write(record, encoder[0]);
                return out.toByteArray();
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
    }

    @Override
    public Deserializer<GenericRecord> deserializer() {
        GenericDatumReader<GenericRecord> reader = new GenericDatumReader<>(schema);
        BinaryDecoder[] decoder = {null};
        return (topic, bytes) -> {
            if (bytes == null) {
                return null;
            }
            if (bytes[0] != 0) {
                throw new IllegalArgumentException("not Confluent's framing: " + bytes[0]);
            }
            try {
                int size = bytes.length - HEAD;
                decoder[0] = DecoderFactory.get().binaryDecoder(bytes, HEAD, size, decoder[0]);
                return reader.read(null, decoder[0]);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
    }
}
