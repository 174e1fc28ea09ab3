// What a Java program takes for granted.
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.IntStream;

public class Main {
    public static void main(String[] arguments) throws Exception {
        System.out.println("threads: " + IntStream.range(0, 100000).parallel().sum());
        Process child = new ProcessBuilder("sh", "-c", "echo run").start();
        System.out.print("child: " + new String(child.getInputStream().readAllBytes()));
        System.out.println("its end: " + child.waitFor());
        Path file = Files.createTempFile("java", null);
        Files.writeString(file, "x");
        Files.delete(file);
        System.out.println("files: ok");
        System.out.println("processor: " + (Runtime.getRuntime().availableProcessors() > 0));
        System.out.println("itself: " + ProcessHandle.current().isAlive());
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, 6);
            exchange.getResponseBody().write("served".getBytes());
            exchange.close();
        });
        server.start();
        URI uri = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/");
        HttpRequest request = HttpRequest.newBuilder(uri).build();
        System.out.println("http: " + HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body());
        server.stop(0);
        System.exit(0);
    }
}
