module github.com/zeekpeer/zeekpeer

go 1.26
