// A server on this machine that speaks as much HTTP as a test needs: every request is handed to a function,
// whose text is sent back as it is. A thread a connection, one request each.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace fourstep {

class StandInServer {
 public:
  struct Request {
    std::string head, body;
  };
  // Gives the whole response, or nothing to hang up. Called from several threads at a time.
  using Handler = std::function<std::string(const Request&)>;

  explicit StandInServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~StandInServer() {
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    close(listener_);
    for (std::thread& connection : connections_) connection.join();
  }
  StandInServer(const StandInServer&) = delete;
  StandInServer& operator=(const StandInServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }

  static std::string Response(int status, const std::string& body) {
    return "HTTP/1.1 " + std::to_string(status) +
           " X\r\nContent-Type: application/json\r\nConnection: close\r\n" +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

 private:
  void Accept() {
    for (int fd = -1; (fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      connections_.emplace_back([this, fd] { Serve(fd); });
    }
  }

  void Serve(int fd) {
    Request request;
    std::string bytes;
    size_t head_end = bytes.npos, wanted = 0;
    char buffer[4096];
    while (head_end == bytes.npos || bytes.size() < wanted) {
      const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      bytes.append(buffer, static_cast<size_t>(n));
      if (head_end == bytes.npos && (head_end = bytes.find("\r\n\r\n")) != bytes.npos) {
        const size_t length = bytes.find("Content-Length: ");
        wanted = head_end + 4 + (length < head_end ? std::stoul(bytes.substr(length + 16)) : 0);
      }
    }
    if (head_end != bytes.npos) {
      request.head = bytes.substr(0, head_end);
      request.body = bytes.substr(head_end + 4);
      const std::string response = handler_(request);
      for (size_t sent = 0; sent < response.size();) {
        const ssize_t n = send(fd, response.data() + sent, response.size() - sent, MSG_NOSIGNAL);
        if (n <= 0) break;
        sent += static_cast<size_t>(n);
      }
    }
    shutdown(fd, SHUT_RDWR);
    close(fd);
  }

  Handler handler_;
  int listener_ = -1, port_ = 0;
  std::thread acceptor_;
  std::vector<std::thread> connections_;  // of the acceptor, until it has ended
};

}  // namespace fourstep
