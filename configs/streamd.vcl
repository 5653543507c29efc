# Varnish in front of streamd: asks streamd once for each playlist and part, and wakes all waiting viewers at once.
#
# For Varnish 6.0 or newer. What to change: the address of streamd, if it is not 127.0.0.1:8080. Varnish speaks neither
# TLS nor HTTP/3: put Caddy, nginx or hitch before it. Start it with memory for the listed media, about 1 MB a second
# of each 6 Mb/s stream with its parts, and enough threads to answer all waiting viewers at once:
#
#     varnishd -a :6081 -f /etc/varnish/streamd.vcl -s malloc,2g -p thread_pool_min=500
#
# To make it forget a channel that was taken down, before its media's hour is over:
#
#     varnishadm ban 'req.url ~ ^/live/NAME/'
#
# Only streamd's public port stands here. Its admin API listens on another one: never proxy that to the internet.

vcl 4.1;

import std;

backend default {
    .host = "127.0.0.1";
    .port = "8080";
    # streamd holds a request for three target durations, which is 30 s at the most, before it answers 503.
    .first_byte_timeout = 35s;
    .between_bytes_timeout = 15s;
}

sub vcl_recv {
    # HTTP-FLV and endless MP4 have no end: every viewer has a connection of its own to streamd. Not `pass`,
    # which would keep a slow viewer's bytes in memory.
    if (req.url ~ "^/live/(~[^/?]+/)?[^/?]+\.(flv|mp4)(\?|$)") {
        return (pipe);
    }
    # A locked channel's viewer shows a token once, in the query, or a password, and has a ticket in the path from then
    # on: see docs/playback.md. Answers for one viewer always come from streamd, and playlists are.
    if (req.url ~ "^/[^?]*\?(.*&)?token=" || req.url ~ "^/(live|vod)/[^?]*/~[^/?]+/[^?]*\.m3u8(\?|$)") {
        return (pass);
    }
    if (req.url ~ "^/(watch|embed)/" && req.http.Cookie ~ "streamd-") {
        return (pass);
    }
    # The broadcaster's page is signed in by a cookie, and asks once a second.
    if (req.url ~ "^/studio(/|\?|$)") {
        return (pass);
    }
    # Only playlists heed queries: any other address is fetched from streamd without its query, and kept once, whatever
    # queries it is asked under. Three parameters make a playlist another one, each in one spelling. A value that is no
    # number is sent on as "-", so that streamd refuses it.
    if (req.url ~ "^/(live|static)/") {
        unset req.http.X-Directives;
        if (req.url ~ "^[^?#]*\.m3u8\?" && req.url !~ "^[^?#]*/index\.m3u8\?") {
            if (req.url ~ "[?&]_HLS_msn=[0-9]{1,20}(&|$)") {
                set req.http.X-Directives =
                    "&_HLS_msn=" + regsub(req.url, "^.*?[?&]_HLS_msn=0*([0-9]{1,20})(&.*)?$", "\1");
            } elsif (req.url ~ "[?&]_HLS_msn=") {
                set req.http.X-Directives = "&_HLS_msn=-";
            }
            if (req.url ~ "[?&]_HLS_part=[0-9]{1,20}(&|$)") {
                set req.http.X-Directives = req.http.X-Directives +
                    "&_HLS_part=" + regsub(req.url, "^.*?[?&]_HLS_part=0*([0-9]{1,20})(&.*)?$", "\1");
            } elsif (req.url ~ "[?&]_HLS_part=") {
                set req.http.X-Directives = req.http.X-Directives + "&_HLS_part=-";
            }
            if (req.url ~ "[?&]_HLS_skip=(YES|v2)(&|$)") {
                # v2 asks for one thing more, of which streamd's playlists have none.
                set req.http.X-Directives = req.http.X-Directives + "&_HLS_skip=YES";
            } elsif (req.url ~ "[?&]_HLS_skip=") {
                set req.http.X-Directives = req.http.X-Directives + "&_HLS_skip=-";
            }
        }
        set req.url = regsub(req.url, "[?#].*$", "") + regsub(req.http.X-Directives, "^&", "?");
        unset req.http.X-Directives;
    }
    # Other answers on this port are the same for all viewers, and with either of these Varnish would skip its cache.
    unset req.http.Cookie;
    unset req.http.Authorization;
}

sub vcl_hash {
    # One copy of a stream, and of a file that pages load, by whatever host name it is asked for.
    if (req.url ~ "^/(live|static)/") {
        # A locked channel's media are the same for all of its viewers, under names that nobody can guess: one copy,
        # under its path without the ticket.
        hash_data(regsub(req.url, "/~[^/?]+/", "/"));
        return (lookup);
    }
}

sub vcl_backend_response {
    # No answer is served after its time: players take an old playlist for a stalled stream. Varnish's default: 10 s.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    if (bereq.url ~ "^/live/") {
        # streamd gives its errors a time as well. Varnish heeds it for some of them, not for 400 and 503. Requests
        # that have waited three target durations in vain must fail together, not each after another three.
        if (beresp.http.Cache-Control ~ "^max-age=") {
            set beresp.ttl = std.duration(regsub(beresp.http.Cache-Control, "^max-age=([0-9]+).*", "\1s"), 0s);
        } else {
            # no-store: a part that was asked for too early. No `uncacheable`: Varnish would remember for two minutes
            # not to collect the requests for it, and anyone could ask too early for the parts to come.
            set beresp.ttl = 0s;
        }
        # Not on to Varnish's own code, which makes everything of 0 s uncacheable.
        return (deliver);
    }
}

sub vcl_backend_error {
    # streamd does not answer: tell all viewers so, for a second. Any web page may read it, like streamd's own answers.
    set beresp.ttl = 1s;
    set beresp.http.Cache-Control = "max-age=1";
    set beresp.http.Access-Control-Allow-Origin = "*";
    set beresp.http.Content-Type = "text/plain; charset=utf-8";
    set beresp.body = "streamd does not answer";
    return (deliver);
}
