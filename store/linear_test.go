package store_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// What is done to a key, and what came of it.
type (
	linearInput struct {
		key, kind string // put, unique, increment, erase, read
		value     int
	}
	linearOutput struct {
		effect  bool // of an operation: it was applied; of a read: there is a value
		unknown bool // nobody knows
		value   int  // of a read
	}
)

// nothing is the state of a key that is not there.
const nothing = -1

// linearModel is what a store does to one key, which holds a count.
var linearModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		at := make(map[string]int)
		for _, op := range history {
			key := op.Input.(linearInput).key
			i, ok := at[key]
			if !ok {
				i = len(parts)
				at[key] = i
				parts = append(parts, nil)
			}
			parts[i] = append(parts[i], op)
		}
		return parts
	},
	Init: func() any { return nothing },
	Step: func(state, input, output any) (bool, any) {
		is, in, out := state.(int), input.(linearInput), output.(linearOutput)
		next, effect := is, true
		switch in.kind {
		case "put":
			next = in.value
		case "unique":
			if effect = is == nothing; effect {
				next = in.value
			}
		case "increment":
			next = max(is, 0) + in.value
		case "erase":
			effect, next = is != nothing, nothing
		case "read":
			effect = is != nothing
			return out.effect == effect && (!effect || out.value == is), is
		}
		return out.unknown || out.effect == effect, next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
}

// A history is what was done by many, and when.
type history struct {
	clock atomic.Int64 // counts what happens

	mu  sync.Mutex
	ops []porcupine.Operation
}

// do does something and notes what came of it. What nobody knows may happen at any time later, or never,
// which is the same as after everything else.
func (h *history) do(who int, in linearInput, f func() linearOutput) {
	op := porcupine.Operation{ClientId: who, Input: in, Call: h.clock.Add(1)}
	out := f()
	op.Output, op.Return = out, h.clock.Add(1)
	if out.unknown {
		if in.kind == "read" {
			return
		}
		op.Return = math.MaxInt64
	}
	h.mu.Lock()
	h.ops = append(h.ops, op)
	h.mu.Unlock()
}

// linearOp does a random operation on one of a few keys, or reads it.
func (h *history) linearOp(ctx context.Context, random *rand.Rand, who int, s *store.Store, readOnly bool) error {
	var failed error
	in := linearInput{key: fmt.Sprint("k", random.IntN(4)), value: random.IntN(1000) + 1}
	key, value := data.String(in.key), count(in.value)
	if readOnly {
		in.kind, in.value = "read", 0
		h.do(who, in, func() (out linearOutput) {
			v, err := s.Get(ctx, key)
			n, _ := v.AsCount()
			out = linearOutput{effect: err == nil, value: int(n)}
			if err != nil && !errors.Is(err, store.ErrNoSuchKey) {
				out.unknown, failed = true, err
			}
			return out
		})
		return failed
	}
	var f func(context.Context, data.Value, data.Value, ...store.SubmitOption) (store.Outcome, error)
	switch random.IntN(5) {
	case 0:
		in.kind, f = "put", s.Put
	case 1, 2:
		in.kind, f = "unique", s.PutUnique
	case 3:
		in.kind, f = "increment", s.Increment
	case 4:
		in.kind = "erase"
		f = func(ctx context.Context, key, _ data.Value, opts ...store.SubmitOption) (store.Outcome, error) {
			return s.Erase(ctx, key, opts...)
		}
	}
	h.do(who, in, func() linearOutput {
		o, err := f(ctx, key, value)
		if err != nil && !errors.Is(err, store.ErrOutcomeUnknown) {
			failed = err
		}
		return linearOutput{effect: o == store.Applied, unknown: err != nil}
	})
	return failed
}

// A dyingLog is a backend whose last batch may have become durable or not when its master dies.
type dyingLog struct {
	*memoryLog
	mu    sync.Mutex
	dead  bool
	lasts bool // the last batch becomes durable
	asked bool
}

var errDead = errors.New("the process is dead")

func (l *dyingLog) die(lasts bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead, l.lasts = true, lasts
}

func (l *dyingLog) Commit(b *store.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dead {
		return l.memoryLog.Commit(b)
	}
	if l.lasts && !l.asked {
		if err := l.memoryLog.Commit(b); err != nil {
			return err
		}
	}
	l.asked = true
	return errDead
}

// Puts, put_uniques, increments and erasures of several clones and of the master, and reads at the
// master, happen in one order that agrees with what everybody saw, though connections break and the
// master dies and comes again.
func TestLinearizable(t *testing.T) {
	for seed := range uint64(fromEnv("ZEEKPEER_LINEAR_SEEDS", 3)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) { testLinearizable(t, n, seed) })
		})
	}
}

func testLinearizable(t *testing.T, n *memNet, seed uint64) {
	const clones, lives, troubles = 3, 3, 6
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var h history
	random := rand.New(rand.NewPCG(seed, 0))
	contents := newMemoryLog()
	master := func() (*endpoint.Endpoint, *store.Store, *dyingLog) {
		id, err := store.EndpointID(contents)
		if err != nil {
			t.Fatal(err)
		}
		ep := n.node(t, "m", endpoint.WithID(id))
		log := &dyingLog{memoryLog: contents}
		s := attachMaster(t, ep, store.WithBackend(log))
		serve(t, ep, "m")
		return ep, s, log
	}
	var working sync.WaitGroup
	all := make([]*store.Store, clones)
	for i := range all {
		host := fmt.Sprint("c", i)
		ep := n.node(t, host)
		if _, err := ep.Peer("m:1"); err != nil {
			t.Fatal(err)
		}
		all[i] = attachClone(t, ep)
		mine := rand.New(rand.NewPCG(seed, uint64(1+i)))
		working.Go(func() {
			for ctx.Err() == nil {
				if err := h.linearOp(ctx, mine, i, all[i], false); err != nil {
					t.Errorf("clone %d: %v", i, err)
				}
				time.Sleep(time.Duration(mine.IntN(4)) * 100 * time.Millisecond) // so that many begin at once
			}
		})
	}
	for life := range lives {
		ep, s, log := master()
		var local sync.WaitGroup
		over := make(chan struct{})
		for i := range 3 { // one that writes, and two that read
			mine := rand.New(rand.NewPCG(seed, uint64(100+10*life+i)))
			local.Go(func() {
				for {
					select {
					case <-over:
						return
					case <-time.After(time.Duration(mine.IntN(4)) * 100 * time.Millisecond):
					}
					// At the end it fails, for the master dies.
					if err := h.linearOp(ctx, mine, clones+i, s, i > 0); err != nil && !errors.Is(err, store.ErrClosed) {
						t.Error(err)
					}
				}
			})
		}
		for range troubles {
			time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
			host := fmt.Sprint("c", random.IntN(clones))
			switch random.IntN(4) {
			case 0, 1:
				n.Cut("m", host)
			case 2:
				n.Part("m", host)
				time.Sleep(time.Duration(random.IntN(20_000)) * time.Millisecond)
				n.Heal("m", host)
			case 3:
				n.Part("m", host)
				time.Sleep(time.Duration(40+random.IntN(40)) * time.Second)
				n.Heal("m", host)
			}
		}
		if life == lives-1 {
			close(over)
			local.Wait()
			cancel()
			working.Wait()
			for _, clone := range all {
				same(t, t.Context(), s, clone)
			}
			break
		}
		log.die(random.IntN(2) == 0)
		time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
		for _, clone := range []string{"c0", "c1", "c2"} {
			n.Cut("m", clone) // nothing that it says now is heard
		}
		close(over)
		s.Close()
		local.Wait()
		ep.Close(t.Context())
	}
	unknown := 0
	for _, op := range h.ops {
		if op.Output.(linearOutput).unknown {
			unknown++
		}
	}
	result, info := porcupine.CheckOperationsVerbose(linearModel, h.ops, 0)
	if result != porcupine.Ok {
		path := fmt.Sprintf("%s/linear-%d.html", t.ArtifactDir(), seed)
		if err := porcupine.VisualizePath(linearModel, info, path); err != nil {
			t.Error(err)
		}
		t.Errorf("seed %d: %d operations, %d of unknown outcome: %v; see %s (go test -artifacts)", seed, len(h.ops), unknown, result, path)
	}
	t.Logf("%d operations, %d of unknown outcome: %v", len(h.ops), unknown, result)
}
