package main

import "fmt"

func Example_links() {
	links, err := links([]byte(`[{
		"context": {"traceId": "0af7651916cd43dd8448eb211c80319c",
		            "spanId": "b7ad6b7169203331", "traceFlags": 1,
		            "traceState": "rojo=00f067aa0ba902b7,congo=t61", "isRemote": true},
		"attributes": {"report.id": 7}}]`))
	fmt.Println(len(links), err)
	context := links[0].SpanContext
	fmt.Println(context.TraceState(), context.IsSampled(), context.IsRemote())
	// Output:
	// 1 <nil>
	// rojo=00f067aa0ba902b7,congo=t61 true true
}
