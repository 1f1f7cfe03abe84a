package endpoint_test

import (
	"context"
	"fmt"
	"log"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// One node listens and subscribes, another one dials it and publishes an event.
func Example() {
	ctx := context.Background()

	station, err := endpoint.New()
	if err != nil {
		log.Fatal(err)
	}
	defer station.Close(ctx)
	sub, err := station.Subscribe([]string{"/weather/"})
	if err != nil {
		log.Fatal(err)
	}
	addr, err := station.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}

	sensor, err := endpoint.New()
	if err != nil {
		log.Fatal(err)
	}
	defer sensor.Close(ctx)
	peering, err := sensor.Peer(addr.String())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := peering.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := sensor.PublishEvent(ctx, "/weather/berlin", "measured", data.String("temperature"), data.Real(21.5)); err != nil {
		log.Fatal(err)
	}

	for msg := range sub.Messages(ctx) {
		event, err := msg.Event()
		if err != nil {
			log.Print(err) // somebody sent something else
			continue
		}
		fmt.Println(msg.Topic(), event.Name, event.Args)
		break
	}
	// Output:
	// /weather/berlin measured [temperature 21.5]
}

// Asking is publishing an event on a topic that somebody answers, and waiting for an event on a topic of
// one's own.
func ExampleEndpoint_PublishEvent_askAndAnswer() {
	ctx := context.Background()

	server, err := endpoint.New()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close(ctx)
	questions, err := server.Subscribe([]string{"/sum/ask"})
	if err != nil {
		log.Fatal(err)
	}
	addr, err := server.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for msg := range questions.Messages(ctx) {
			event, err := msg.Event()
			if err != nil || len(event.Args) != 3 {
				continue
			}
			replyTo, _ := event.Args[0].AsString()
			a, _ := event.Args[1].AsCount()
			b, _ := event.Args[2].AsCount()
			server.PublishEvent(ctx, replyTo, "sum_is", data.Count(a+b))
		}
	}()

	client, err := endpoint.New()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	replyTo := "/sum/answer/" + client.ID().String()
	answers, err := client.Subscribe([]string{replyTo}) // before peering: then the peer knows from the start
	if err != nil {
		log.Fatal(err)
	}
	peering, err := client.Peer(addr.String())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := peering.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := client.PublishEvent(ctx, "/sum/ask", "sum", data.String(replyTo), data.Count(40), data.Count(2)); err != nil {
		log.Fatal(err)
	}
	for msg := range answers.Messages(ctx) {
		event, err := msg.Event()
		if err != nil {
			log.Print(err)
			continue
		}
		fmt.Println(event.Name, event.Args)
		break
	}
	// Output:
	// sum_is [42]
}

// One loop sees who comes and goes, and what they say, in the order in which it happened.
func ExampleSubscription_Events() {
	ctx := context.Background()
	node, err := endpoint.New()
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close(ctx)
	sub, err := node.Subscribe([]string{"/news"}, endpoint.WithStatus())
	if err != nil {
		log.Fatal(err)
	}
	addr, err := node.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}

	go visit(ctx, addr.String())

	for event := range sub.Events(ctx) {
		if status := event.Status; status != nil {
			fmt.Println(status.Code)
			if status.Code == endpoint.PeerLost {
				fmt.Println("because:", status.Err)
				break
			}
			continue
		}
		value, err := event.Message.Value()
		if err != nil {
			log.Print(err)
			continue
		}
		fmt.Println(event.Message.Topic(), value)
	}
	// Output:
	// peer_added
	// /news hello
	// peer_lost
	// because: the peer took leave
}

// visit peers with a node, says hello and leaves.
func visit(ctx context.Context, addr string) {
	visitor, err := endpoint.New()
	if err != nil {
		log.Fatal(err)
	}
	defer visitor.Close(ctx) // sends what is queued, and takes leave
	peering, err := visitor.Peer(addr)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := peering.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := visitor.Publish(ctx, "/news", data.String("hello")); err != nil {
		log.Fatal(err)
	}
}
