import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

import relink.Config;
import relink.Conn;
import relink.LocalProxy;
import relink.Relink;
import relink.Stats;

/**
 * A client as an Android app would write it, for a server that echoes. Its arguments are the
 * server's address, its key, and how many pieces to send. Before each it prints "cut" and waits
 * for a byte, so that whoever started it can cut the connection.
 */
public final class Client {
    private static final int PIECE = 5000;

    public static void main(String[] args) throws Exception {
        try {
            mistakes();
            session(args[0], args[1], Integer.parseInt(args[2]));
            proxy(args[0], args[1]);
        } catch (Throwable e) {
            e.printStackTrace();
            System.exit(1);
        }
        System.out.println("done");
        System.exit(0);
    }

    private static Config config(String address, String key) throws Exception {
        Config config = new Config();
        config.setSuite(Relink.SuiteNoise);
        config.addServerKey(key);
        config.addAddress(Relink.TransportTCP, address);
        config.setBackoff(1, 20);
        return config;
    }

    /** Through the cuts, with listeners and a binder that throw. */
    private static void session(String address, String key, int cuts) throws Exception {
        Config config = config(address, key);
        List<Integer> sockets = new ArrayList<>();
        config.setSocketBinder(fd -> {
            synchronized (sockets) {
                sockets.add(fd);
            }
        });
        Conn conn = Relink.dial(config);
        List<String> kinds = new ArrayList<>();
        conn.setListener(event -> {
            synchronized (kinds) {
                kinds.add(event.getKind());
            }
            throw new IllegalStateException("a listener that throws");
        });
        expect("connected", conn.state());

        Random random = new Random(1);
        byte[] piece = new byte[PIECE];
        for (int i = 0; i < cuts; i++) {
            random.nextBytes(piece);
            System.out.println("cut");
            if (System.in.read() < 0) {
                throw new AssertionError("nobody cuts");
            }
            conn.write(piece);
            if (i % 10 == 0) {
                conn.networkChanged();
            }
            byte[] back = new byte[0];
            while (back.length < PIECE) {
                byte[] some = conn.read(PIECE - back.length);
                int old = back.length;
                back = Arrays.copyOf(back, old + some.length);
                System.arraycopy(some, 0, back, old, some.length);
            }
            if (!Arrays.equals(piece, back)) {
                throw new AssertionError("piece " + i + " came back changed");
            }
            if (i % 20 == 0) {
                System.gc(); // what Go holds of Java must stay, and the other way round
            }
        }

        for (byte[] wrong : new byte[][] {null, new byte[0], new byte[(int) Relink.MaxBuffer + 1]}) {
            fails(Relink.CodeArgument, () -> conn.write(wrong));
        }
        fails(Relink.CodeArgument, () -> conn.read(0));
        fails(Relink.CodeArgument, () -> conn.read(Long.MAX_VALUE));
        fails(Relink.CodeArgument, () -> conn.setListener(null));
        conn.closeWrite();
        fails(Relink.CodeEnd, () -> conn.read(1));
        conn.closeWait(10_000);
        fails(Relink.CodeClosed, () -> conn.write(new byte[1]));

        Stats stats = conn.stats();
        long resumes = stats.getResumes();
        if (stats.getBytesRead() != (long) cuts * PIECE || resumes < cuts || stats.getListenerErrors() < 1) {
            throw new AssertionError("read " + stats.getBytesRead() + ", resumes " + resumes + ", listener errors " + stats.getListenerErrors());
        }
        synchronized (sockets) {
            if (sockets.size() < resumes) {
                throw new AssertionError(sockets.size() + " sockets for " + resumes + " resumes");
            }
        }
        synchronized (kinds) {
            expect(Relink.EventOpened, kinds.get(0));
            if (!kinds.contains(Relink.EventResumed)) {
                throw new AssertionError("no event of a resume");
            }
        }
        System.out.println("resumes " + resumes);
    }

    /** What an app can get wrong is an exception, and never the end of the process. */
    private static void mistakes() throws Exception {
        fails(Relink.CodeArgument, () -> Relink.dial(null));
        fails(Relink.CodeArgument, () -> Relink.dial(new Config()));
        fails(Relink.CodeArgument, () -> Relink.startProxy(null));
        fails(Relink.CodeArgument, () -> new Config().setSuite(null));
        fails(Relink.CodeArgument, () -> new Config().addServerKey("\ud800"));
        fails(Relink.CodeArgument, () -> new Config().setTLSRoots(null));
        fails(Relink.CodeArgument, () -> new Config().setSocketBinder(null));
        Conn own = new Conn();
        expect(Relink.StateNone, own.state());
        fails(Relink.CodeArgument, () -> own.read(1));
        fails(Relink.CodeArgument, () -> new LocalProxy().close());
        expect("", Relink.lastPanic());
    }

    /** A plain java.net.Socket through the local proxy. */
    private static void proxy(String address, String key) throws Exception {
        LocalProxy proxy = Relink.startProxy(config(address, key));
        try (java.net.Socket socket = new java.net.Socket("127.0.0.1", (int) proxy.port())) {
            byte[] hello = "hello".getBytes("US-ASCII");
            socket.getOutputStream().write(hello);
            socket.shutdownOutput();
            expect("hello", new String(socket.getInputStream().readAllBytes(), "US-ASCII"));
        }
        proxy.close();
    }

    private interface Action {
        void run() throws Exception;
    }

    private static void fails(String code, Action action) {
        try {
            action.run();
        } catch (Exception e) {
            expect(code, Relink.errorCode(e.getMessage()));
            return;
        }
        throw new AssertionError("no exception with the code " + code);
    }

    private static void expect(String want, String got) {
        if (!want.equals(got)) {
            throw new AssertionError("want " + want + ", got " + got);
        }
    }
}
