import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.SdkField;
import software.amazon.awssdk.core.SdkPojo;
import software.amazon.awssdk.core.protocol.MarshallingType;
import software.amazon.awssdk.core.traits.ListTrait;
import software.amazon.awssdk.core.traits.MapTrait;
import software.amazon.awssdk.core.util.SdkAutoConstructList;
import software.amazon.awssdk.core.util.SdkAutoConstructMap;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.utils.builder.SdkBuilder;

/** Turns JSON into the SDK's requests and its answers into JSON, by the names and types the SDK gives its fields. */
final class Documents {
    private Documents() {}

    /** Sets on a builder every field that the document has; a member that the SDK does not know is an error. */
    static Object build(SdkPojo builder, JsonNode document) {
        Map<String, SdkField<?>> fields = new LinkedHashMap<>();
        builder.sdkFields().forEach(field -> fields.put(field.memberName(), field));
        document.asObject().forEach((name, value) -> {
            SdkField<?> field = fields.get(name);
            if (field == null) {
                throw new IllegalArgumentException("the SDK has no member " + name);
            }
            field.set(builder, value(field, value));
        });
        return ((SdkBuilder<?, ?>) builder).build();
    }

    private static Object value(SdkField<?> field, JsonNode value) {
        MarshallingType<?> type = field.marshallingType();
        if (type == MarshallingType.STRING) {
            return value.asString();
        } else if (type == MarshallingType.INTEGER) {
            return Integer.valueOf(value.asNumber());
        } else if (type == MarshallingType.LONG) {
            return Long.valueOf(value.asNumber());
        } else if (type == MarshallingType.BOOLEAN) {
            return value.asBoolean();
        } else if (type == MarshallingType.INSTANT) {
            return Instant.parse(value.asString());
        } else if (type == MarshallingType.SDK_BYTES) {
            return SdkBytes.fromByteArray(java.util.Base64.getDecoder().decode(value.asString()));
        } else if (type == MarshallingType.SDK_POJO) {
            return build(field.constructor().get(), value);
        } else if (type == MarshallingType.LIST) {
            SdkField<?> member = field.getTrait(ListTrait.class).memberFieldInfo();
            return value.asArray().stream().map(item -> value(member, item)).toList();
        } else if (type == MarshallingType.MAP) {
            SdkField<?> member = field.getTrait(MapTrait.class).valueFieldInfo();
            Map<String, Object> entries = new LinkedHashMap<>();
            value.asObject().forEach((key, item) -> entries.put(key, value(member, item)));
            return entries;
        }
        throw new IllegalArgumentException("no conversion for " + field.memberName() + " of " + type);
    }

    /** Every field of an answer that came over the wire, by its name there. */
    static Map<String, Object> members(SdkPojo answer) {
        Map<String, Object> members = new LinkedHashMap<>();
        for (SdkField<?> field : answer.sdkFields()) {
            Object value = field.getValueOrDefault(answer);
            boolean absent = value instanceof SdkAutoConstructList || value instanceof SdkAutoConstructMap;
            if (value != null && !absent) {
                members.put(field.memberName(), value);
            }
        }
        return members;
    }

    /** JSON of maps, lists, numbers, texts and the SDK's own types. */
    static String json(Object value) {
        if (value instanceof SdkPojo pojo) {
            return json(members(pojo));
        } else if (value instanceof Map<?, ?> map) {
            List<String> entries = new ArrayList<>();
            map.forEach((name, item) -> entries.add(quoted(name.toString()) + ":" + json(item)));
            return "{" + String.join(",", entries) + "}";
        } else if (value instanceof List<?> list) {
            return "[" + String.join(",", list.stream().map(Documents::json).toList()) + "]";
        } else if (value instanceof SdkBytes bytes) {
            return quoted(java.util.Base64.getEncoder().encodeToString(bytes.asByteArrayUnsafe()));
        } else if (value instanceof Number || value instanceof Boolean) {
            return value.toString();
        }
        return quoted(String.valueOf(value));
    }

    private static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char character : text.toCharArray()) {
            if (character == '"' || character == '\\') {
                quoted.append('\\').append(character);
            } else if (character < 0x20 || character > 0x7e) {
                quoted.append(String.format("\\u%04x", (int) character));
            } else {
                quoted.append(character);
            }
        }
        return quoted.append('"').toString();
    }
}
