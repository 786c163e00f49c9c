// What pegasus-meta-proxy speaks with clients, MetaServers and (in its simulator) replica servers, in one file.
//
// Field ids, types and names are those of Apache Pegasus' own idl/ (dsn, dsn.layer2, security, metadata, meta_admin,
// utils, rrdb); they are facts of the wire and must not be changed. src/wire/messages.ts implements this file, and a
// test holds the two against each other.
//
// Functions of the services are named as requests carry them. Answers carry the name with "_ACK" behind it.

namespace js pegasus

// ---- Hand-made base types -------------------------------------------------------------------------------------------
//
// Pegasus serializes these by hand. A field header or a list announces them as STRUCT (12), but their bytes are those
// given here: no field headers inside, no stop byte behind. A generic skip misreads them.

// string: the error's name, "ERR_OK" for none
struct error_code {}

// i64: partition index in the high 32 bits, app id in the low 32
struct gpid {}

// i64: IPv4 address in bits 63..32, port in 31..16, type in the low 16 (1: IPv4, 0: invalid, and all of it zero)
struct rpc_address {}

// string host, i16 port (unsigned), i8 type (0: invalid, 1: a host and its port, 2: a group of them)
struct host_port {}

// string: any bytes
struct blob {}

// ---- Header of version 1 --------------------------------------------------------------------------------------------

struct thrift_request_meta_v1 {
  1: optional i32 app_id
  2: optional i32 partition_index
  3: optional i32 client_timeout          // ms
  4: optional i64 client_partition_hash
  5: optional bool is_backup_request
}

// ---- Where a table's partitions are ---------------------------------------------------------------------------------

struct partition_configuration {
  1: gpid pid
  2: i64 ballot
  3: i32 max_replica_count
  4: rpc_address primary
  5: list<rpc_address> secondaries
  6: list<rpc_address> last_drops
  7: i64 last_committed_decree
  8: i32 partition_flags
  9: optional host_port hp_primary        // this and the two below: servers with FQDN support
  10: optional list<host_port> hp_secondaries
  11: optional list<host_port> hp_last_drops
}

struct query_cfg_request {
  1: string app_name
  2: list<i32> partition_indices          // empty, absent or without a valid one: all partitions
}

struct query_cfg_response {
  1: error_code err
  2: i32 app_id
  3: i32 partition_count                  // the table's, however many were asked for
  4: bool is_stateful
  5: list<partition_configuration> partitions  // ERR_FORWARD_TO_OTHERS: one, whose primary is the leader, or none
}

// ---- SASL negotiation -----------------------------------------------------------------------------------------------

enum negotiation_status {
  INVALID = 0
  SASL_LIST_MECHANISMS = 1
  SASL_LIST_MECHANISMS_RESP = 2
  SASL_SELECT_MECHANISMS = 3
  SASL_SELECT_MECHANISMS_RESP = 4
  SASL_INITIATE = 5
  SASL_CHALLENGE = 6
  SASL_CHALLENGE_RESP = 7
  SASL_SUCC = 8
  SASL_AUTH_DISABLE = 9
  SASL_AUTH_FAIL = 10
}

struct negotiation_request {
  1: negotiation_status status
  2: blob msg
}

struct negotiation_response {
  1: negotiation_status status
  2: blob msg
}

// ---- The tables of a cluster ----------------------------------------------------------------------------------------

enum app_status {
  AS_INVALID = 0
  AS_AVAILABLE = 1
  AS_CREATING = 2
  AS_CREATE_FAILED = 3
  AS_DROPPING = 4
  AS_DROP_FAILED = 5
  AS_DROPPED = 6
  AS_RECALLING = 7
}

struct app_info {
  1: app_status status
  2: string app_type
  3: string app_name
  4: i32 app_id
  5: i32 partition_count
  6: map<string, string> envs
  7: bool is_stateful
  8: i32 max_replica_count
  9: i64 expire_second
  10: i64 create_second
  11: i64 drop_second
  12: optional bool duplicating
  13: i32 init_partition_count
  14: optional bool is_bulk_loading
  15: optional bool atomic_idempotent
}

enum pattern_match_type {
  PMT_INVALID = 0
  PMT_MATCH_ALL = 1
  PMT_MATCH_EXACT = 2
  PMT_MATCH_ANYWHERE = 3
  PMT_MATCH_PREFIX = 4
  PMT_MATCH_POSTFIX = 5
  PMT_MATCH_REGEX = 6
}

struct configuration_list_apps_request {
  1: app_status status                    // AS_INVALID: tables of any status
  2: optional string app_name_pattern
  3: optional pattern_match_type match_type
}

struct configuration_list_apps_response {
  1: error_code err
  2: list<app_info> infos
  3: optional string hint_message
}

// ---- Data -----------------------------------------------------------------------------------------------------------
//
// A key is i16 length of the hash key, hash key, sort key. `error` is a RocksDB status: 0 ok, 1 not found.

enum update_type {
  UT_PUT = 0
  UT_INCR = 1
  UT_CHECK_AND_SET = 2
  UT_CHECK_AND_MUTATE_PUT = 3
  UT_CHECK_AND_MUTATE_REMOVE = 4
}

struct update_request {
  1: blob key
  2: blob value
  3: i32 expire_ts_seconds                // since 2016-01-01 UTC, 0: never
  4: optional update_type type
  5: optional bool check_value_returned
  6: optional bool check_value_exist
  7: optional blob check_value
}

struct update_response {
  1: i32 error
  2: i32 app_id
  3: i32 partition_index
  4: i64 decree
  5: string server
}

struct read_response {
  1: i32 error
  2: blob value
  3: i32 app_id
  4: i32 partition_index
  6: string server
}

struct ttl_response {
  1: i32 error
  2: i32 ttl_seconds                      // -1: never expires
  3: i32 app_id
  4: i32 partition_index
  6: string server
}

// ---- RPCs -----------------------------------------------------------------------------------------------------------

service meta_server {
  query_cfg_response RPC_CM_QUERY_PARTITION_CONFIG_BY_INDEX(1: query_cfg_request query)
  negotiation_response RPC_NEGOTIATION(1: negotiation_request request)
  configuration_list_apps_response RPC_CM_LIST_APPS(1: configuration_list_apps_request request)
}

service replica_server {
  update_response RPC_RRDB_RRDB_PUT(1: update_request update)
  read_response RPC_RRDB_RRDB_GET(1: blob key)
  update_response RPC_RRDB_RRDB_REMOVE(1: blob key)
  ttl_response RPC_RRDB_RRDB_TTL(1: blob key)
}
