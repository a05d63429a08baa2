import java.io.BufferedOutputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.BitSet;
import java.util.concurrent.Semaphore;

/**
 * The number server as it is commonly written for speed in Java: a thread for each client, which
 * reads its lines from a block of bytes, and a BitSet that all share, locked once for a batch.
 *
 * <p>Run it with {@code java -Xmx1g ThreadPerClient.java}. It writes numbers.log in the working
 * folder and listens on 127.0.0.1, port 4000. It keeps no reports and knows no "terminate": only
 * what the benchmark of throughput needs, so it is if anything faster than a whole server.
 */
public final class ThreadPerClient {
    private static final int LINE = 10;
    private static final int READ_BYTES = 1 << 16;
    private static final int CLIENTS = 5;

    private final BitSet seen = new BitSet(1_000_000_000);
    private final OutputStream log;

    private ThreadPerClient(OutputStream log) {
        this.log = log;
    }

    public static void main(String[] arguments) throws IOException {
        OutputStream log = new BufferedOutputStream(new FileOutputStream("numbers.log"), 1 << 20);
        ThreadPerClient server = new ThreadPerClient(log);
        Semaphore places = new Semaphore(CLIENTS);
        try (ServerSocket port = new ServerSocket(4000, 50, InetAddress.getByName("127.0.0.1"))) {
            while (true) {
                Socket client = port.accept();
                if (!places.tryAcquire()) {
                    client.close();
                    continue;
                }
                new Thread(() -> {
                    try (client) {
                        server.serve(client.getInputStream());
                    } catch (IOException error) {
                        System.err.println(error);
                    } finally {
                        places.release();
                    }
                }).start();
            }
        }
    }

    /** Takes lines until the client ends or sends a line that is none. */
    private void serve(InputStream in) throws IOException {
        byte[] block = new byte[READ_BYTES];
        int[] numbers = new int[READ_BYTES / LINE];
        int held = 0;
        int read;
        while ((read = in.read(block, held, block.length - held)) > 0) {
            held += read;
            int whole = held / LINE;
            int count = parse(block, whole, numbers);
            record(numbers, count);
            if (count < whole) {
                return;
            }
            held -= whole * LINE;
            System.arraycopy(block, whole * LINE, block, 0, held);
        }
    }

    /** Gives how many lines at the start of the block are numbers. */
    private static int parse(byte[] block, int lines, int[] numbers) {
        for (int line = 0; line < lines; line++) {
            int start = line * LINE;
            int value = 0;
            for (int place = start; place < start + LINE - 1; place++) {
                int digit = block[place] - '0';
                if (digit < 0 || digit > 9) {
                    return line;
                }
                value = value * 10 + digit;
            }
            if (block[start + LINE - 1] != '\n') {
                return line;
            }
            numbers[line] = value;
        }
        return lines;
    }

    private void record(int[] numbers, int count) throws IOException {
        byte[] digits = new byte[LINE];
        digits[LINE - 1] = '\n';
        synchronized (seen) {
            for (int index = 0; index < count; index++) {
                int number = numbers[index];
                if (seen.get(number)) {
                    continue;
                }
                seen.set(number);
                int start = LINE - 1;
                do {
                    digits[--start] = (byte) ('0' + number % 10);
                    number /= 10;
                } while (number > 0);
                log.write(digits, start, LINE - start);
            }
            log.flush();
        }
    }
}
