// Kstatus says of objects what the kstatus library makes of them, as Flux, kpt and others read it.
//
// Standard input: one JSON object a line. Standard output: for each of them one line of JSON,
// {"status": "InProgress", "message": "..."}, in the same order.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// An object is at most as large as etcd takes it: 1.5 MiB, and some room for its JSON.
const maxLine = 4 << 20

type answer struct {
	Status  status.Status `json:"status"`
	Message string        `json:"message"`
}

func main() {
	if err := answerAll(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

func answerAll(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	buffered := bufio.NewWriter(out)
	encoder := json.NewEncoder(buffered)
	for number := 1; lines.Scan(); number++ {
		said, err := compute(lines.Bytes())
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if err := encoder.Encode(said); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return buffered.Flush()
}

func compute(line []byte) (answer, error) {
	var object unstructured.Unstructured
	if err := object.UnmarshalJSON(line); err != nil {
		return answer{}, err
	}
	result, err := status.Compute(&object)
	if err != nil {
		return answer{}, err
	}
	return answer{result.Status, result.Message}, nil
}
