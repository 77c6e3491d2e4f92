// Sends webhooks as a LiveKit server does, and counts those that it gives up.
//
// The HTTP client is LiveKit's own, go-retryablehttp with its defaults (livekit/protocol go.mod), and so are the queues:
// one for each room, one event after the other, at most 200, each at most 30 s old when its turn comes
// (livekit/protocol webhook/resource_queue.go and resource_url_notifier.go).
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	maxDepth = 200
	maxAge   = 30 * time.Second
)

type item struct {
	id       string
	queuedAt time.Time
}

var (
	url    = flag.String("url", "", "where webhooks go")
	key    = flag.String("key", "", "API key")
	secret = flag.String("secret", "", "API secret")
	rooms  = flag.Int("rooms", 1, "number of rooms")
	rate   = flag.Int("rate", 5, "events of a room in a second")
	secs   = flag.Int("secs", 1, "seconds of sending")

	delivered, gaveUp, tooOld, queueFull atomic.Int64
)

func main() {
	flag.Parse()
	client := retryablehttp.NewClient()
	client.Logger = nil
	var senders sync.WaitGroup
	for n := range *rooms {
		// One event is with the sender, the others are in the queue.
		queue := make(chan item, maxDepth)
		senders.Go(func() { send(client, fmt.Sprintf("room-%d", n), queue) })
		senders.Go(func() { produce(n, queue) })
	}
	senders.Wait()
	counts := map[string]int64{
		"delivered": delivered.Load(), "gaveUp": gaveUp.Load(), "tooOld": tooOld.Load(), "queueFull": queueFull.Load(),
	}
	if err := json.NewEncoder(os.Stdout).Encode(counts); err != nil {
		panic(err)
	}
}

func produce(room int, queue chan item) {
	defer close(queue)
	ticker := time.NewTicker(time.Second / time.Duration(*rate))
	defer ticker.Stop()
	for n := range *rate * *secs {
		<-ticker.C
		select {
		case queue <- item{fmt.Sprintf("EV_%d_%d", room, n), time.Now()}:
		default:
			queueFull.Add(1)
		}
	}
}

func send(client *retryablehttp.Client, room string, queue chan item) {
	for item := range queue {
		if time.Since(item.queuedAt) > maxAge {
			tooOld.Add(1)
			continue
		}
		body := fmt.Sprintf(`{"event":"something_new","id":"%s","createdAt":"%d","room":{"sid":"RM_%s","name":"%s"}}`,
			item.id, time.Now().Unix(), room, room)
		req, err := retryablehttp.NewRequest("POST", *url, bytes.NewReader([]byte(body)))
		if err != nil {
			panic(err)
		}
		req.Header.Set("Authorization", token(body))
		req.Header.Set("content-type", "application/webhook+json")
		res, err := client.Do(req)
		if err != nil {
			gaveUp.Add(1)
			continue
		}
		_ = res.Body.Close()
		if delivered.Add(1) == 1 {
			fmt.Println("delivering")
		}
		if res.StatusCode != 200 {
			panic(fmt.Sprintf("%s is lost, because status %d counts as delivered", item.id, res.StatusCode))
		}
	}
}

func token(body string) string {
	encode := base64.RawURLEncoding.EncodeToString
	sum := sha256.Sum256([]byte(body))
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{
		"iss": *key, "nbf": now, "exp": now + 300, "sha256": base64.StdEncoding.EncodeToString(sum[:]),
	})
	if err != nil {
		panic(err)
	}
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims)
	mac := hmac.New(sha256.New, []byte(*secret))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}
