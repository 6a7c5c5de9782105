// What pgx does with otel.trace_context. Prints TAP lines.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	state   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03;rojo=1,congo=2"
	insert  = "INSERT INTO items VALUES ($1, $2)"
)

func is(got, expected any, name string) {
	if reflect.DeepEqual(got, expected) {
		fmt.Println("ok - pgx:", name)
	} else {
		fmt.Println("not ok - pgx:", name)
		fmt.Printf("# got %#v, expected %#v\n", got, expected)
	}
}

func write(ctx context.Context, conn *pgx.Conn) error {
	text := sampled
	var none *string
	for id, value := range []any{sampled, state, nil, &text, none} {
		if _, err := conn.Exec(ctx, insert, id+1, value); err != nil {
			return fmt.Errorf("writing %v: %w", value, err)
		}
	}
	// the statement sent as one piece of text, as behind a transaction pooler
	if _, err := conn.Exec(ctx, insert, pgx.QueryExecModeSimpleProtocol, 6, sampled); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, insert, pgx.QueryExecModeExec, 7, state); err != nil {
		return err
	}

	_, err := conn.Exec(ctx, insert, 8, "nope")
	var server *pgconn.PgError
	is(errors.As(err, &server) && server.Code == "22P02", true, "an invalid string raises 22P02")
	return nil
}

func read(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, "SELECT context FROM items ORDER BY id")
	if err != nil {
		return err
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[*string])
	if err != nil {
		return err
	}
	values := []any{}
	for _, value := range got {
		if value == nil {
			values = append(values, nil)
		} else {
			values = append(values, *value)
		}
	}
	is(values, []any{sampled, state, nil, sampled, nil, sampled, state},
		"string, *string and nil are written, and read as *string")

	rows, err = conn.Query(ctx, "SELECT context FROM items WHERE id IN (2, 3) ORDER BY id")
	if err != nil {
		return err
	}
	maps, err := pgx.CollectRows(rows, pgx.RowToMap)
	if err != nil {
		return err
	}
	is(maps, []map[string]any{{"context": state}, {"context": nil}},
		"as any, it is read as string and nil")

	var id int
	err = conn.QueryRow(ctx, "SELECT id FROM items WHERE context = $1 AND id < 4",
		sampled).Scan(&id)
	if err != nil {
		return err
	}
	is(id, 1, "a string is compared with a column")

	var stored []byte
	err = conn.QueryRow(ctx, "SELECT context FROM items WHERE id = 1",
		pgx.QueryResultFormats{pgx.BinaryFormatCode}).Scan(&stored)
	if err != nil {
		return err
	}
	is(hex.EncodeToString(stored), "01"+"4bf92f3577b34da6a3ce929d0e0e4736"+"00f067aa0ba902b7",
		"in binary it is read as []byte")
	return nil
}

// An array of a type that is not registered with pgx travels as text[].
func arrays(ctx context.Context, conn *pgx.Conn) error {
	var spanIDs []string
	err := conn.QueryRow(ctx,
		"SELECT array_agg(otel.span_id(c::otel.trace_context)) FROM unnest($1::text[]) c",
		[]string{sampled, state}).Scan(&spanIDs)
	if err != nil {
		return err
	}
	is(spanIDs, []string{"00f067aa0ba902b7", "b7ad6b7169203331"},
		"[]string is written as text[] and cast in SQL")

	var read []*string
	err = conn.QueryRow(ctx,
		"SELECT array_agg(context::text ORDER BY id) FROM items WHERE id < 4").Scan(&read)
	if err != nil {
		return err
	}
	is(len(read) == 3 && *read[0] == sampled && *read[1] == state && read[2] == nil, true,
		"an array cast to text[] is read as []*string")
	return nil
}

func run(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE TEMPORARY TABLE items (id int, context otel.trace_context)")
	if err != nil {
		return err
	}
	for _, part := range []func(context.Context, *pgx.Conn) error{write, read, arrays} {
		if err := part(ctx, conn); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
