"""The public attributes of the classes of `websockets`, from version 8.1 to 17.4."""

from __future__ import annotations

__all__ = ["ATTRIBUTES"]

# Class -> what its own code, and not that of its bases, gives it or its objects.
ATTRIBUTES = {
    "AbortHandshake": "body headers status",
    "ClientConnection": (
        "available_extensions available_subprotocols connect extensions extra_headers "
        "handshake handshake_exc key origin parse parser process_event process_extensions "
        "process_response process_subprotocol protocol request response response_rcvd "
        "send_request state subprotocol wsuri"
    ),
    "ClientProtocol": (
        "available_extensions available_subprotocols connect extensions handshake_exc key "
        "origin parse parser process_extensions process_response process_subprotocol "
        "send_request state subprotocol uri wsuri"
    ),
    "Close": "check code parse reason serialize",
    "CloseCode": (
        "ABNORMAL_CLOSURE BAD_GATEWAY GOING_AWAY INTERNAL_ERROR INVALID_DATA "
        "MANDATORY_EXTENSION MESSAGE_TOO_BIG NORMAL_CLOSURE NO_STATUS_RCVD POLICY_VIOLATION "
        "PROTOCOL_ERROR SERVICE_RESTART TLS_HANDSHAKE TRY_AGAIN_LATER UNSUPPORTED_DATA"
    ),
    "Connect": (
        "BACKOFF_FACTOR BACKOFF_INITIAL BACKOFF_MAX BACKOFF_MIN MAX_REDIRECTS_ALLOWED "
        "handle_redirect logger open_timeout protocol ws_client"
    ),
    "Connection": (
        "abort_pings acknowledge_pings close close_code close_deadline close_exc "
        "close_expected close_frame_received close_rcvd close_rcvd_then_sent close_reason "
        "close_sent close_timeout close_transport connection_exc connection_lost "
        "connection_lost_waiter connection_made cur_size data_received data_to_send debug "
        "discard drain drain_waiters eof_received eof_sent events events_received "
        "expect_continuation_frame extensions fail fail_connection fragmented_send_waiter "
        "handshake_exc id keepalive keepalive_task latency local_address logger loop max_queue "
        "max_queue_high max_queue_low max_size origin parse parser parser_exc pause_writing "
        "paused pending_pings ping ping_interval ping_timeout pong pong_waiters process_event "
        "protocol reader receive_data receive_eof recv recv_exc recv_frame recv_messages "
        "recv_streaming remote_address request response resume_writing send send_binary "
        "send_close send_context send_continuation send_data send_eof send_frame "
        "send_in_progress send_ping send_pong send_text set_connection_exc set_recv_exc "
        "set_state side start_keepalive state step_parser subprotocol terminate_pending_pings "
        "transport wait_closed write_limit write_limit_high write_limit_low writes"
    ),
    "ConnectionClosed": "code rcvd rcvd_then_sent reason sent",
    "DuplicateParameter": "name",
    "Frame": (
        "DEFAULT_IS_TEXT MAX_LOG_SIZE check data fin new_frame opcode parse read rsv1 rsv2 "
        "rsv3 serialize write"
    ),
    "Headers": "clear copy get_all raw_items serialize set_insecure update",
    "InvalidHeader": "name value",
    "InvalidHeaderFormat": "name",
    "InvalidMethod": "method",
    "InvalidParameterName": "name",
    "InvalidParameterValue": "name value",
    "InvalidProtocol": "protocol",
    "InvalidProxy": "msg proxy",
    "InvalidProxyStatus": "response",
    "InvalidStatus": "response",
    "InvalidStatusCode": "headers status_code",
    "InvalidURI": "msg uri",
    "PayloadTooBig": "current_size max_size message set_current_size size",
    "Protocol": (
        "close_code close_exc close_expected close_rcvd close_rcvd_then_sent close_reason "
        "close_sent cur_size current_size data_to_send debug discard eof_sent events "
        "events_received expect_continuation_frame extensions fail handshake_exc id logger "
        "max_fragment_size max_message_size max_size origin parse parser parser_exc reader "
        "receive_data receive_eof recv_frame send_binary send_close send_continuation send_eof "
        "send_frame send_ping send_pong send_text side state subprotocol writes"
    ),
    "RedirectHandshake": "uri",
    "Request": "exception headers method parse path protocol serialize",
    "Response": "body exception headers parse reason_phrase serialize status_code",
    "Serve": "ws_server",
    "Server": (
        "all_connections close close_task closed_waiter conn_handler connections create_server "
        "get_loop handler handler_tasks handlers handlers_waiter is_serving logger loop "
        "open_timeout process_request process_response serve_forever server server_header "
        "sockets start_connection_handler start_serving wait_closed wrap"
    ),
    "ServerProtocol": (
        "accept accept_called available_extensions available_subprotocols extensions "
        "handshake_exc origin origins parse parser process_extensions process_origin "
        "process_request process_subprotocol reject select_subprotocol send_response state "
        "subprotocol"
    ),
    "SupportsKeysAndGetItem": "keys",
    "WebSocketClientProtocol": (
        "available_extensions available_subprotocols extensions extra_headers handshake "
        "is_client origin path process_extensions process_subprotocol read_http_response "
        "request_headers response_headers side subprotocol user_agent_header "
        "write_http_request"
    ),
    "WebSocketCommonProtocol": (
        "abort_pings close close_code close_connection close_connection_task close_rcvd "
        "close_rcvd_then_sent close_reason close_sent close_timeout close_transport closed "
        "connection_closed_exc connection_lost connection_lost_waiter connection_made "
        "connection_open data_received debug drain ensure_open eof_received extensions "
        "fail_connection host id is_client keepalive_ping keepalive_ping_task latency "
        "legacy_recv local_address logger loop max_queue max_size messages open path "
        "pause_writing ping ping_interval ping_timeout pings pong port read_data_frame "
        "read_frame read_limit read_message reader recv remote_address request_headers "
        "response_headers resume_writing secure send side state subprotocol transfer_data "
        "transfer_data_exc transfer_data_task transport wait_closed wait_for_connection_lost "
        "write_close_frame write_frame write_frame_sync write_limit"
    ),
    "WebSocketServer": (
        "close close_task closed_waiter get_loop is_serving logger loop register serve_forever "
        "server sockets start_serving unregister wait_closed websockets wrap"
    ),
    "WebSocketServerProtocol": (
        "available_extensions available_subprotocols connection_made extensions extra_headers "
        "handler handler_task handshake is_client open_timeout origin origins path "
        "process_extensions process_origin process_request process_subprotocol "
        "read_http_request request_headers response_headers select_subprotocol server_header "
        "side subprotocol write_http_response ws_handler ws_server"
    ),
    "WebSocketURI": ("host password path port query resource_name secure user_info username"),
    "connect": (
        "additional_headers connect connection connection_kwargs create_connection "
        "create_connection_kwargs factory handshake_args logger open_tcp_connection "
        "open_timeout process_exception process_redirect protocol_factory proxy "
        "reconnect_delays uri user_agent_header ws_uri"
    ),
    "serve": "create_server server",
}
