# Varnish in front of the same origin. It keeps bodies in memory; what it logs stays in memory, too.
vcl 4.1;

backend origin {
    .host = "127.0.0.1";
    .port = "@ORIGIN@";
}

# Varnish keeps one form of a body and makes the other for each answer. Here it keeps both: its best.
sub vcl_recv {
    unset req.http.X-Coding;
    if (req.http.Accept-Encoding ~ "gzip") {
        set req.http.X-Coding = "gzip";
    }
}

sub vcl_hash {
    hash_data(req.http.X-Coding);
}

sub vcl_backend_response {
    set beresp.ttl = 1d;
    if (bereq.http.X-Coding == "gzip" && beresp.http.Content-Type ~ "json") {
        set beresp.do_gzip = true;
    }
}
