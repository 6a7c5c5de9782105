/** The statements of requests 1 to 9, and what is printed about their rows. */
final class Request {
    static final String TAKE = "SELECT take_recorded()";

    static String traceparent(int request) {
        return "00-4bf92f3577b34da6a3ce929d0e0e473" + request + "-00f067aa0ba902b7-01";
    }

    static String comment(int request) {
        return "/*traceparent='" + traceparent(request) + "'*/";
    }

    static String insert(String placeholder, int request) {
        return "INSERT INTO prepared_jobs (how) VALUES (" + placeholder + ") " + comment(request);
    }

    static void is(String got, String expected, String what) {
        var outcome = got.equals(expected) ? "ok" : "not ok";
        System.out.println(outcome + " - " + what + ": " + expected);
        if (!got.equals(expected)) {
            System.out.println("# got " + got);
        }
    }
}
