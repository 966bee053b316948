// Command tidelog-client-tests-go calls the operations it is told to, through the AWS SDK for Go v2.
//
// The lines are described in tests/clients/program.py; endpoint, credentials and trust come from AWS's own
// environment variables. Requests run side by side, so that calls go on while a subscription is open.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

const (
	waitMax      = time.Minute
	lineBytesMax = 16 << 20
)

type request struct {
	ID        int             `json:"id"`
	Operation string          `json:"operation"`
	Input     json.RawMessage `json:"input"`
}

type line struct {
	ID     int      `json:"id"`
	Event  any      `json:"event,omitempty"`
	Output any      `json:"output,omitempty"`
	Error  *failure `json:"error,omitempty"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Class   string `json:"class"`
}

// program is a client and the one writer of standard output.
type program struct {
	client *kinesis.Client
	mutex  sync.Mutex
	output *json.Encoder
}

func main() {
	settings, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program := &program{client: kinesis.NewFromConfig(settings), output: json.NewEncoder(os.Stdout)}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, lineBytesMax)
	for lines.Scan() {
		var request request
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go program.answer(request)
	}
}

func (p *program) print(line line) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if err := p.output.Encode(line); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (p *program) answer(request request) {
	output, err := p.call(request)
	if err == nil {
		p.print(line{ID: request.ID, Output: output})
		return
	}
	failure := failure{Code: fmt.Sprintf("%T", err), Message: err.Error()}
	var answered smithy.APIError
	if errors.As(err, &answered) {
		class := fmt.Sprintf("%T", answered)
		class = class[strings.LastIndex(class, ".")+1:]
		failure.Code, failure.Message, failure.Class = answered.ErrorCode(), answered.ErrorMessage(), class
	}
	p.print(line{ID: request.ID, Error: &failure})
}

func (p *program) call(request request) (any, error) {
	switch request.Operation {
	case "StreamExists", "StreamNotExists":
		return struct{}{}, p.wait(request)
	}
	// The method's own input type says how the JSON is to be read: names are those of the service.
	method := reflect.ValueOf(p.client).MethodByName(request.Operation)
	if !method.IsValid() {
		return nil, fmt.Errorf("the SDK has no operation %s", request.Operation)
	}
	input := reflect.New(method.Type().In(1).Elem())
	if err := json.Unmarshal(request.Input, input.Interface()); err != nil {
		return nil, err
	}
	results := method.Call([]reflect.Value{reflect.ValueOf(context.Background()), input})
	if err, failed := results[1].Interface().(error); failed {
		return nil, err
	}
	if subscription, open := results[0].Interface().(*kinesis.SubscribeToShardOutput); open {
		return struct{}{}, p.follow(request.ID, subscription.GetStream())
	}
	return results[0].Interface(), nil
}

func (p *program) follow(id int, stream *kinesis.SubscribeToShardEventStream) error {
	defer stream.Close()
	for event := range stream.Events() {
		if event, known := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent); known {
			p.print(line{ID: id, Event: event.Value})
		}
	}
	return stream.Err()
}

func (p *program) wait(request request) error {
	var input kinesis.DescribeStreamInput
	if err := json.Unmarshal(request.Input, &input); err != nil {
		return err
	}
	if request.Operation == "StreamExists" {
		return kinesis.NewStreamExistsWaiter(p.client).Wait(context.Background(), &input, waitMax)
	}
	return kinesis.NewStreamNotExistsWaiter(p.client).Wait(context.Background(), &input, waitMax)
}
