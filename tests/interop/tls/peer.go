// One TLS connection with amqp091-go: PORT HOST CERTIFICATES AUTHORITY CLIENT (a name, or -).
// Prints `ok`, or `refused` and why.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func main() {
	if err := talk(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Println("refused", err)
		return
	}
	fmt.Println("ok")
}

func talk(port, host, folder, authority, client string) error {
	pem, err := os.ReadFile(folder + "/" + authority + ".pem")
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	security := &tls.Config{RootCAs: roots}
	config := amqp.Config{TLSClientConfig: security, Vhost: "/", Heartbeat: 10 * time.Second}
	config.SASL = []amqp.Authentication{&amqp.PlainAuth{Username: "guest", Password: "guest"}}
	if client != "-" {
		pair, err := tls.LoadX509KeyPair(folder+"/"+client+".pem", folder+"/"+client+".key")
		if err != nil {
			return err
		}
		security.Certificates = []tls.Certificate{pair}
		config.SASL = []amqp.Authentication{&amqp.ExternalAuth{}}
	}
	connection, err := amqp.DialConfig("amqps://"+host+":"+port+"/", config)
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Confirm(false); err != nil {
		return err
	}
	queue, err := channel.QueueDeclare("", false, false, true, false, nil)
	if err != nil {
		return err
	}
	confirms := channel.NotifyPublish(make(chan amqp.Confirmation, 1))
	body := bytes.Repeat([]byte("w"), 300000)
	message := amqp.Publishing{Body: body}
	if err := channel.PublishWithContext(context.Background(), "", queue.Name, false, false, message); err != nil {
		return err
	}
	if confirm := <-confirms; !confirm.Ack {
		return fmt.Errorf("not confirmed")
	}
	got, found, err := channel.Get(queue.Name, true)
	if err != nil || !found || !bytes.Equal(got.Body, body) {
		return fmt.Errorf("the message came back different: %v", err)
	}
	return nil
}
