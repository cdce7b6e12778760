/* SPDX-License-Identifier: MIT */
/*
 * Goal: tags, wire requests and connections make the legal moves and no others; a batch keeps account
 * of what was sent at any split. Method: every pair of states; every split of a small batch.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "gateway/nbd/connection.h"
#include "gateway/ublk/tags.h"

/* A move that is not legal ends the process, so each is made in a child of its own. */
static bool move_is_legal(void (*move)(int from, int to), int from, int to)
{
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		close(STDERR_FILENO);
		move(from, to);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Every pair of so many states; legal has a row for each. */
static void moves_as_drawn(void (*move)(int from, int to), int states, const bool *legal)
{
	for (int from = 0; from < states; from++)
		for (int to = 0; to < states; to++)
			assert_int_equal(move_is_legal(move, from, to), legal[from * states + to]);
}

static void move_tag(int from, int to)
{
	struct tag tag = { .state = (enum tag_state)from };

	tag_move(&tag, (enum tag_state)to);
}

static void move_tx(int from, int to)
{
	struct wire_request request = { .tx = (enum tx_state)from };

	wire_request_move_tx(&request, (enum tx_state)to);
}

static void move_rx(int from, int to)
{
	struct nbd_request request = { .rx = (enum nbd_rx_state)from };

	nbd_request_move_rx(&request, (enum nbd_rx_state)to);
}

static void move_connection(int from, int to)
{
	struct connection connection = { .state = (enum connection_state)from };

	connection_move(&connection, (enum connection_state)to);
}

static void tags_move_as_drawn(void **state)
{
	static const bool legal[3][3] = {
		[TAG_PARKED] = { [TAG_ACTIVE] = true, [TAG_ENDED] = true },
		[TAG_ACTIVE] = { [TAG_PARKED] = true },
	};

	(void)state;
	moves_as_drawn(move_tag, 3, legal[0]);
}

static void wire_requests_move_as_drawn(void **state)
{
	static const bool legal[4][4] = {
		[TX_IDLE] = { [TX_QUEUED] = true },
		[TX_QUEUED] = { [TX_SENDING] = true, [TX_IDLE] = true },
		[TX_SENDING] = { [TX_SENT] = true, [TX_IDLE] = true },
		[TX_SENT] = { [TX_IDLE] = true },
	};

	(void)state;
	moves_as_drawn(move_tx, 4, legal[0]);
}

static void replies_move_as_drawn(void **state)
{
	static const bool legal[4][4] = {
		[NBD_RX_IDLE] = { [NBD_RX_IDLE] = true, [NBD_RX_WAITING] = true },
		[NBD_RX_WAITING] = { [NBD_RX_IDLE] = true, [NBD_RX_PARTIAL] = true },
		[NBD_RX_PARTIAL] = { [NBD_RX_IDLE] = true,
				     [NBD_RX_WAITING] = true,
				     [NBD_RX_FINAL] = true },
		[NBD_RX_FINAL] = { [NBD_RX_IDLE] = true },
	};

	(void)state;
	moves_as_drawn(move_rx, 4, legal[0]);
}

static void connections_move_as_drawn(void **state)
{
	static const bool legal[4][4] = {
		[CONNECTION_DEAD] = { [CONNECTION_LIVE] = true },
		[CONNECTION_LIVE] = { [CONNECTION_RETIRING] = true, [CONNECTION_CONDEMNED] = true },
		[CONNECTION_RETIRING] = { [CONNECTION_CONDEMNED] = true },
		[CONNECTION_CONDEMNED] = { [CONNECTION_DEAD] = true },
	};

	(void)state;
	moves_as_drawn(move_connection, 4, legal[0]);
}

static void a_cookie_names_generation_part_and_tag(void **state)
{
	uint64_t cookie = wire_cookie(0xdeadbeef, 63, 4095);

	(void)state;
	assert_int_equal(wire_cookie_tag(cookie), 4095);
	assert_int_equal(wire_cookie_part(cookie), 63);
	assert_true(wire_cookie(0xdeadbef0, 63, 4095) != cookie);
}

static void only_what_was_sent_awaits_a_reply(void **state)
{
	(void)state;
	for (int tx = TX_IDLE; tx <= TX_SENT; tx++) {
		for (int rx = NBD_RX_IDLE; rx <= NBD_RX_FINAL; rx++) {
			struct wire_request request = { .tx = (enum tx_state)tx,
							.nbd.rx = (enum nbd_rx_state)rx };
			bool awaits = (tx == TX_SENDING || tx == TX_SENT) &&
				      (rx == NBD_RX_WAITING || rx == NBD_RX_PARTIAL);

			assert_int_equal(wire_request_awaits_reply(&request), awaits);
		}
	}
}

/* What the batch still has to send, as bytes. */
static uint32_t flatten(const struct batch *batch, uint8_t *out)
{
	uint32_t used = 0;

	for (uint32_t i = batch->iovecs_first; i < batch->iovecs_count; i++) {
		memcpy(out + used, batch->iovecs[i].iov_base, batch->iovecs[i].iov_len);
		used += (uint32_t)batch->iovecs[i].iov_len;
	}
	return used;
}

static void fill(struct batch *batch, char *payload)
{
	batch_reset(batch);
	memcpy(batch_extend(batch, 4), "head", 4);
	batch_refer(batch, payload, 6);
	memcpy(batch_extend(batch, 3), "gon", 3);
	batch_unextend(batch, 3);
	memcpy(batch_extend(batch, 4), "tail", 4);
}

static void a_batch_goes_on_where_a_short_send_ended(void **state)
{
	static char payload[] = "middle";
	static uint8_t memory[4096];
	struct batch batch = { .memory = memory, .memory_bytes = sizeof(memory) };

	(void)state;
	batch_reset(&batch);
	for (uint32_t first = 1; first < 14; first++) {
		uint8_t left[32];

		fill(&batch, payload);
		assert_int_equal(batch.total_bytes, 14);
		assert_false(batch_advance(&batch, first));
		assert_int_equal(flatten(&batch, left), 14 - first);
		assert_memory_equal(left, &"headmiddletail"[first], 14 - first);
		assert_true(batch_advance(&batch, 14 - first));
	}
}

static void a_batch_knows_when_it_is_full(void **state)
{
	static char payload[2 * BATCH_IOVECS_MAX];
	static uint8_t memory[4096];
	struct batch batch = { .memory = memory, .memory_bytes = sizeof(memory) };
	uint32_t pieces = 0;

	(void)state;
	batch_reset(&batch);
	assert_true(batch_has_room(&batch, 4096));
	assert_false(batch_has_room(&batch, 4097));
	while (batch_has_room(&batch, 1)) {
		batch_extend(&batch, 1);
		batch_refer(&batch, &payload[2 * pieces++], 1);
	}
	assert_in_range(batch.iovecs_count, BATCH_IOVECS_MAX - 1, BATCH_IOVECS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_move_as_drawn),
		cmocka_unit_test(wire_requests_move_as_drawn),
		cmocka_unit_test(replies_move_as_drawn),
		cmocka_unit_test(connections_move_as_drawn),
		cmocka_unit_test(a_cookie_names_generation_part_and_tag),
		cmocka_unit_test(only_what_was_sent_awaits_a_reply),
		cmocka_unit_test(a_batch_goes_on_where_a_short_send_ended),
		cmocka_unit_test(a_batch_knows_when_it_is_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
